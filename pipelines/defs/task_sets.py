"""Which tasks each stage works on. Pure: a choice depends on the tasks' keys alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from data_contracts.decisions import Decision
from data_contracts.ids import content_hash
from data_contracts.tasks import Split, Task
from pipelines.defs.task_tools import named_tools, with_named_tools
from pipelines.recipe import Recipe, parse_table
from pipelines.sources.embedded import TasksRecipe, generate, scarce_families
from pipelines.sources.embedded import teacher_tasks as embedded_choice
from pipelines.sources.mixture import MixtureRecipe, read_mixture
from pipelines.sources.questions import QuestionsRecipe, read_questions
from rollout.names import nearest

OWN_KEYS = ("source", "seed", "num_validation", "tools")
"""Keys of [tasks] that are ours; the others are the source's."""


def _all_of(tasks: Sequence[Task], settings: Any) -> list[Task]:
    return list(tasks)


def _no_groups(domains: set[str]) -> dict[str, list[str]]:
    return {}


@dataclass(frozen=True)
class TaskSource:
    """A maker of tasks, and its opinions on them."""

    settings: type[BaseModel]
    """Its part of [tasks]."""
    make: Callable[[Any, int], tuple[list[Task], list[Decision]]]
    """(settings, seed) to all tasks, and decisions on the rows that they come from where a source chooses among rows."""
    for_teacher: Callable[[Sequence[Task], Any], list[Task]] = _all_of
    """Those of the training tasks that the teacher attempts, given the settings."""
    groups: Callable[[set[str]], dict[str, list[str]]] = _no_groups
    """Named sets of domains that reports show beside the domains themselves."""


def _common_and_scarce(domains: set[str]) -> dict[str, list[str]]:
    scarce = scarce_families()
    return {"common": sorted(domains - scarce), "scarce": sorted(domains & scarce)}


def _undecided(make: Callable[[Any, int], list[Task]]) -> Callable[[Any, int], tuple[list[Task], list[Decision]]]:
    return lambda settings, seed: (make(settings, seed), [])


SOURCES = {
    "embedded": TaskSource(TasksRecipe, _undecided(generate), for_teacher=embedded_choice, groups=_common_and_scarce),
    "questions": TaskSource(QuestionsRecipe, _undecided(read_questions)),
    "mixture": TaskSource(MixtureRecipe, read_mixture),
}
"""By the value of [tasks] source. Bring your own: one entry here."""


def task_source(recipe: Recipe) -> tuple[TaskSource, Any]:
    """The source and its settings. Raises ValueError for an unknown source, an unknown key or a bad value."""
    table = recipe.table("tasks")
    name = str(table.get("source", ""))
    if name not in SOURCES:
        raise ValueError(f"recipe [tasks] source={name!r} is unknown{nearest(name, SOURCES)}")
    own = {key: value for key, value in table.items() if key not in OWN_KEYS}
    return SOURCES[name], parse_table("tasks", own, SOURCES[name].settings)


def make_tasks(recipe: Recipe) -> list[Task]:
    """All tasks of the recipe."""
    return make_decided_tasks(recipe)[0]


def make_decided_tasks(recipe: Recipe) -> tuple[list[Task], list[Decision]]:
    """All tasks of the recipe, and the decisions on the rows that they were chosen from."""
    source, settings = task_source(recipe)
    tasks, decisions = source.make(settings, recipe.seed("tasks"))
    return with_named_tools(tasks, named_tools(recipe), recipe, "[tasks] tools"), decisions


def test_tasks(tasks: Sequence[Task]) -> list[Task]:
    """What only evaluation sees."""
    return [task for task in tasks if task.split is Split.TEST]


def validation_tasks(tasks: Sequence[Task], recipe: Recipe) -> list[Task]:
    """Train tasks kept aside: SFT's plateau is measured on them, never on test tasks."""
    train = [task for task in tasks if task.split is Split.TRAIN]
    return _drawn(train, recipe.table("tasks").get("num_validation", 0), "validation")


def training_tasks(tasks: Sequence[Task], recipe: Recipe) -> list[Task]:
    """What teacher and students work on: train tasks without the validation tasks."""
    aside = {task.key for task in validation_tasks(tasks, recipe)}
    return [task for task in tasks if task.split is Split.TRAIN and task.key not in aside]


def teacher_tasks(tasks: Sequence[Task], recipe: Recipe) -> list[Task]:
    """What the teacher attempts: the source decides."""
    source, settings = task_source(recipe)
    return source.for_teacher(training_tasks(tasks, recipe), settings)


def student_tasks(tasks: Sequence[Task], recipe: Recipe) -> list[Task]:
    """What a student's difficulty is measured on: [difficulty] num_tasks training tasks (0: all)."""
    training = training_tasks(tasks, recipe)
    number = recipe.table("difficulty").get("num_tasks", 0)
    return _drawn(training, number, "difficulty") if number else training


def domain_groups(recipe: Recipe, tasks: Sequence[Task]) -> dict[str, list[str]]:
    """Named sets of domains that reports show."""
    return task_source(recipe)[0].groups({task.domain for task in tasks})


def _drawn(tasks: Sequence[Task], number: int, purpose: str) -> list[Task]:
    """The first `number` tasks in an order that is random, but the same for ever."""
    return sorted(tasks, key=lambda task: content_hash([purpose, task.key]))[:number]
