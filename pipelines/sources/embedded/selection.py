"""Which train tasks the teacher attempts: all common ones, and a handful of scarce ones."""

from collections.abc import Sequence
from itertools import count

from data_contracts.tasks import Split, Task
from pipelines.sources.embedded.families import scarce_families
from pipelines.sources.embedded.recipe import TasksRecipe


def teacher_tasks(tasks: Sequence[Task], recipe: TasksRecipe) -> list[Task]:
    """All common train tasks and `num_scarce_for_teacher` scarce ones, as even over their families as can be.

    The choice depends on the tasks' keys alone, not on their order; the result is sorted by key.
    """
    train = sorted((task for task in tasks if task.split is Split.TRAIN), key=lambda task: task.key)
    rare = scarce_families()
    scarce = _by_turns([task for task in train if task.domain in rare])[: recipe.num_scarce_for_teacher]
    return sorted([task for task in train if task.domain not in rare] + scarce, key=lambda task: task.key)


def _by_turns(tasks: Sequence[Task]) -> list[Task]:
    """The first of each domain, then the second of each, and so on."""
    places = {domain: count() for domain in {task.domain for task in tasks}}
    return sorted(tasks, key=lambda task: (next(places[task.domain]), task.domain))
