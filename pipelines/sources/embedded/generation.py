"""Tasks from a seed. Train and test are disjoint: no two problems differ in names alone."""

import json
from collections.abc import Iterator, Set
from itertools import cycle, islice
from random import Random

from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task, TaskLimits, VerifierRef
from data_contracts.tools import ToolSpec
from pipelines.sources.embedded.families import FAMILIES
from pipelines.sources.embedded.phrasing import Family, Phrasing, Problem
from pipelines.sources.embedded.recipe import TasksRecipe

SOURCE = "embedded"
LICENCE = "Apache-2.0"
LIMITS = TaskLimits(max_turns=4, max_calls=3, max_tokens=320, max_result_tokens=48)
PYTHON = ToolSpec(
    name="python",
    description="Run Python code and return what it prints.",
    parameters=json.dumps({"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}),
)
MAX_REPEATS = 1000
"""Draws in a row that may repeat earlier problems before a phrasing counts as used up."""


def generate(recipe: TasksRecipe, seed: int) -> list[Task]:
    """All tasks, family by family, the test tasks of each first: more train tasks leave the test tasks as they are.

    Raises ValueError when a family has fewer different problems than the recipe asks for.
    """
    return [task for family in FAMILIES for task in _family_tasks(family, recipe, seed)]


def num_train_of(family: Family, recipe: TasksRecipe) -> int:
    """The family's part of the train tasks; what does not divide evenly goes to the first ones."""
    peers = [peer.name for peer in FAMILIES if peer.scarce == family.scarce]
    total = recipe.num_scarce_train if family.scarce else recipe.num_train - recipe.num_scarce_train
    return total // len(peers) + (peers.index(family.name) < total % len(peers))


def _family_tasks(family: Family, recipe: TasksRecipe, seed: int) -> list[Task]:
    num_test = recipe.num_test_per_family
    problems = list(islice(_distinct(family, seed), num_test + num_train_of(family, recipe)))
    splits = [Split.TEST] * num_test + [Split.TRAIN] * (len(problems) - num_test)
    return [
        _task(problem, family, split, f"{family.name}-{seed}-{index}")
        for index, (problem, split) in enumerate(zip(problems, splits, strict=True))
    ]


def _distinct(family: Family, seed: int) -> Iterator[Problem]:
    """Problems without end, phrasings in turn, no two of equal substance."""
    rng = Random(f"{SOURCE}/{family.name}/{seed}")
    seen: set[str] = set()
    for phrasing in cycle(family.phrasings):
        problem = _unseen(phrasing, seen, rng)
        if problem is None:
            raise ValueError(
                f"family {family.name!r} has no new numbers left for {phrasing.text!r} after {len(seen)} problems: "
                "lower num_train or num_test_per_family"
            )
        seen.add(problem.substance)
        yield problem


def _unseen(phrasing: Phrasing, seen: Set[str], rng: Random) -> Problem | None:
    """A problem that is not in `seen`; None where MAX_REPEATS draws found none."""
    draws = (phrasing.fill(rng) for _ in range(MAX_REPEATS))
    return next((problem for problem in draws if problem.substance not in seen), None)


def _task(problem: Problem, family: Family, split: Split, source_id: str) -> Task:
    return Task.create(
        messages=(Message(role=Role.USER, content=problem.text),),
        tools=(PYTHON,),
        verifier=VerifierRef(name="math", reference=str(problem.answer)),
        limits=LIMITS,
        source=SOURCE,
        source_id=source_id,
        domain=family.name,
        licence=LICENCE,
        split=split,
    )
