"""What the exports of tasks have in common: which tasks a reader can use, and what it is asked."""

from collections.abc import Iterable
from typing import Any

from data_contracts.tasks import Task
from rollout.prompts import prompted


def judged(tasks: Iterable[Task]) -> tuple[list[Task], dict[str, str]]:
    """Tasks with a verifier in the order of their keys, and why the others are left out."""
    ordered = sorted(tasks, key=lambda task: task.key)
    left_out = {task.key: "it has no verifier: nothing could be rewarded" for task in ordered if task.verifier is None}
    return [task for task in ordered if task.verifier is not None], left_out


def prompt_of(task: Task) -> list[dict[str, Any]]:
    """What the model is asked, with the words of the task's mode; content is text."""
    return [{"role": m.role.value, "content": m.content} for m in prompted(task.messages, task.mode)]


def answer_of(task: Task) -> str:
    """The reference answer."""
    assert task.verifier is not None
    return task.verifier.reference
