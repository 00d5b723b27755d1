"""Evaluation items that training data must not hold: held-out tasks of our own, and suites from files."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.messages import Role
from data_contracts.tasks import Split, Task
from pipelines.sources.importers.lines import read_lines

TEXT_KEYS = ("problem", "question", "prompt", "input", "Question", "text", "query")
"""Where suites keep their question; the first that holds text counts."""
BODY_KEY = "Body"
"""Where SVAMP tells what the question is about: without it many of its questions are alike, and most are short."""
NAME_KEYS = ("unique_id", "task_id", "id", "idx", "ID")
SUFFIXES = (".jsonl", ".jsonl.gz")


@dataclass(frozen=True)
class Item:
    """One question of an evaluation."""

    name: str
    """`suite/name`."""
    text: str


def held_out_items(tasks: Iterable[Task]) -> list[Item]:
    """The questions of our own test tasks, by name: what their last user message says."""
    return [
        Item(f"{task.source}/{task.source_id}", _question(task))
        for task in sorted(tasks, key=lambda task: task.key)
        if task.split is Split.TEST
    ]


def _question(task: Task) -> str:
    return next(message.content for message in reversed(task.messages) if message.role is Role.USER)


def suite_items(path: Path) -> list[Item]:
    """The questions of a suite in a *.jsonl or *.jsonl.gz file, named `<file>/<id, or line>`.

    Raises FileNotFoundError for a file that is not there and ValueError, with file and line, for a row without a question.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"recipe [decontamination] suites: {path} does not exist: name a .jsonl or .jsonl.gz file"
        )
    suite = path.name.removesuffix(".gz").removesuffix(".jsonl")
    items: dict[str, Item] = {}
    for line in read_lines(path):
        if line.row is None:
            raise ValueError(f"{path}:{line.number}: {line.problem}; correct the line or remove it")
        name = f"{suite}/{_name(line.row, line.number)}"
        name = f"{name}:{line.number}" if name in items else name
        items[name] = Item(name, _text(line.row, path, line.number))
    return list(items.values())


def _name(row: dict[str, Any], number: int) -> str:
    return str(next((row[key] for key in NAME_KEYS if isinstance(row.get(key), str | int)), number))


def _text(row: dict[str, Any], path: Path, number: int) -> str:
    text = next((row[key] for key in TEXT_KEYS if isinstance(row.get(key), str) and row[key].strip()), None)
    if text is None:
        raise ValueError(f"{path}:{number}: no question in it; it needs one of the keys {', '.join(TEXT_KEYS)}")
    body = row.get(BODY_KEY)
    return f"{body} {text}" if isinstance(body, str) and body.strip() else str(text)
