"""Which tasks each stage works on. Pure: a choice depends on the tasks' keys alone."""

from collections.abc import Callable, Sequence
from typing import Any

from data_contracts.ids import content_hash
from data_contracts.tasks import Split, Task
from pipelines.recipe import Recipe, nearest, parse_table

OWN_KEYS = ("source", "seed", "num_validation")
"""Keys of [tasks] that are ours; the others are the source's."""


def _embedded(table: dict[str, Any], seed: int) -> list[Task]:
    from pipelines.sources.embedded import TasksRecipe, generate

    return generate(parse_table("tasks", table, TasksRecipe), seed)


SOURCES: dict[str, Callable[[dict[str, Any], int], list[Task]]] = {"embedded": _embedded}
"""Makers of tasks by name: (the source's part of [tasks], seed) to tasks. Bring your own: one entry here."""


def make_tasks(recipe: Recipe) -> list[Task]:
    """All tasks of the recipe. Raises ValueError for an unknown source."""
    table = recipe.table("tasks")
    source = table.get("source", "")
    if source not in SOURCES:
        raise ValueError(f"recipe [tasks] source={source!r} is unknown{nearest(str(source), SOURCES)}")
    return SOURCES[source](_source_table(table), recipe.seed("tasks"))


def _source_table(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in OWN_KEYS}


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
    """What the teacher attempts: the source decides where it has an opinion, else all training tasks."""
    training = training_tasks(tasks, recipe)
    if recipe.table("tasks")["source"] != "embedded":
        return training
    from pipelines.sources.embedded import TasksRecipe
    from pipelines.sources.embedded import teacher_tasks as embedded_choice

    return embedded_choice(training, parse_table("tasks", _source_table(recipe.table("tasks")), TasksRecipe))


def student_tasks(tasks: Sequence[Task], recipe: Recipe) -> list[Task]:
    """What a student's difficulty is measured on: [difficulty] num_tasks training tasks (0: all)."""
    training = training_tasks(tasks, recipe)
    number = recipe.table("difficulty").get("num_tasks", 0)
    return _drawn(training, number, "difficulty") if number else training


def domain_groups(recipe: Recipe, tasks: Sequence[Task]) -> dict[str, list[str]]:
    """Named sets of domains that reports show: the embedded source has common and scarce ones."""
    if recipe.table("tasks").get("source") != "embedded":
        return {}
    from pipelines.sources.embedded import scarce_families

    scarce, domains = scarce_families(), {task.domain for task in tasks}
    return {"common": sorted(domains - scarce), "scarce": sorted(domains & scarce)}


def _drawn(tasks: Sequence[Task], number: int, purpose: str) -> list[Task]:
    """The first `number` tasks in an order that is random, but the same for ever."""
    return sorted(tasks, key=lambda task: content_hash([purpose, task.key]))[:number]
