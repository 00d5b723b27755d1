"""What the candidates are examined on: held-out tasks of our own, and suites that the recipe names."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from data_contracts.attempts import Attempt
from data_contracts.decisions import Decision, Verdict
from data_contracts.manifests import RunInput
from data_contracts.overlaps import Overlap
from data_contracts.storage import write_dataset
from data_contracts.tasks import Task, TaskLimits
from pipelines.curation.contamination import attempt_overlaps, index_of, task_overlaps
from pipelines.defs.base import sft_sources
from pipelines.defs.contamination import parse_decontamination
from pipelines.defs.task_sets import domain_groups, test_tasks
from pipelines.defs.task_tools import require_distinct_in, with_named_tools
from pipelines.recipe import Recipe, parse_table
from pipelines.sources.questions import PYTHON
from pipelines.sources.suites import Item, find_suite, held_out_items
from pipelines.store import Store
from rollout.names import nearest
from rollout.private_folder import private_folder


class SuiteChoice(BaseModel):
    """One entry of [[evaluation.suites]].

    Example:
        SuiteChoice(name="math500", path="suites/math500.jsonl")
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Of pipelines.sources.suites."""
    path: str | None = None
    """A local copy; None: from the hub."""
    revision: str | None = None
    """On the hub; a commit makes the figure repeatable."""
    tools: tuple[str, ...] | None = None
    """Tables [tools.NAME], and `python`. None: `python` alone; empty: no tool."""
    limits: TaskLimits | None = None
    """None: 16 turns, 15 calls, 20,480 tokens."""


class SuitesTable(BaseModel):
    """The key `suites` of [evaluation]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    suites: tuple[SuiteChoice, ...] = ()


@dataclass(frozen=True)
class Exam:
    """Tasks under one name, and what is looked for in the training data."""

    suite: str
    tasks: Sequence[Task]
    items: Sequence[Item]
    parents: Sequence[RunInput] = ()
    groups: dict[str, list[str]] = field(default_factory=dict)
    redact: bool = False
    revision: str | None = None
    """Of a suite."""

    @contextmanager
    def stored(self, store: Store) -> Iterator[RunInput]:
        """The tasks as an input of a process; those that are not to be republished lie in a private folder meanwhile."""
        if not self.redact:
            yield store.write("test_tasks", self.tasks, Task, self.parents).model_copy(update={"name": "tasks"})
            return
        with private_folder() as scratch:
            folder, manifest = write_dataset(scratch, "tasks", self.tasks, Task)
            yield RunInput(name="tasks", path=str(folder), content_hash=manifest.content_hash)


def suite_choices(recipe: Recipe) -> tuple[SuiteChoice, ...]:
    """The suites that [evaluation] names. Raises ValueError for an unknown suite or tool, and for a suite that comes twice."""
    given: dict[str, Any] = {"suites": recipe.table("evaluation").get("suites", [])}
    choices = parse_table("evaluation", given, SuitesTable).suites
    names = [find_suite(choice.name).name for choice in choices]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(f"recipe [evaluation] names the suite {doubled[0]!r} twice: remove one entry")
    known = {PYTHON.name, *recipe.tables.get("tools", {})}
    for choice in choices:
        require_distinct_in(f"[[evaluation.suites]] {choice.name} tools", choice.tools)
        for tool in set(choice.tools or ()) - known:
            raise ValueError(
                f"recipe [[evaluation.suites]] {choice.name} names the tool {tool!r}, but there is no table [tools.{tool}]"
                f"{nearest(tool, known)}"
            )
    return choices


def exams(store: Store, recipe: Recipe) -> list[Exam]:
    """Our own held-out tasks first, then the suites in the recipe's order."""
    source = store.latest("tasks")
    everything = store.read(source, Task)
    own = Exam(
        suite=recipe.table("evaluation")["suite"],
        tasks=test_tasks(everything),
        items=held_out_items(everything),
        parents=[source],
        groups=domain_groups(recipe, everything),
    )
    return [own, *[_suite_exam(recipe, choice) for choice in suite_choices(recipe)]]


def _suite_exam(recipe: Recipe, choice: SuiteChoice) -> Exam:
    from pipelines.sources.suites.loading import LIMITS, found_revision, load_questions, question_items, suite_tasks

    suite = find_suite(choice.name)
    path = None if choice.path is None else Path(choice.path).expanduser()
    revision = found_revision(suite, path, choice.revision)
    questions = load_questions(suite, path, revision)
    tasks = suite_tasks(suite, questions, choice.limits or LIMITS)
    tasks = with_named_tools(tasks, choice.tools, recipe, f"[[evaluation.suites]] {suite.name} tools")
    return Exam(suite.name, tasks, question_items(suite, questions), redact=suite.redact, revision=revision)


def overlaps_with_training(store: Store, recipe: Recipe, exams: Sequence[Exam]) -> list[Overlap]:
    """What the attempts that SFT learned from, and the tasks of RL, share with the items of the exams."""
    items = {item.name: item.text for exam in exams for item in exam.items}
    index = index_of(items, parse_decontamination(recipe))
    attempts = store.read(sft_sources(store, recipe)[0], Attempt)
    decisions = store.read(store.latest("sft_decisions"), Decision)
    kept = {decision.subject for decision in decisions if decision.verdict is Verdict.KEEP}
    learned = [attempt for attempt in attempts if attempt.key in kept]
    return [*attempt_overlaps(learned, index), *task_overlaps(store.read(store.latest("rl_dataset"), Task), index)]
