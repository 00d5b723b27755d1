"""Tasks from where a user keeps them: a dataset folder, or JSON lines."""

import gzip
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from data_contracts.ids import content_hash
from data_contracts.storage import read_dataset
from data_contracts.tasks import Task

SUFFIXES = (".jsonl", ".jsonl.gz")


def read_tasks(paths: Iterable[Path]) -> list[Task]:
    """All tasks, equal ones once, by key. Raises ValueError with file and line for a line that is no task."""
    tasks = {task.key: task for path in paths for task in _read(path)}
    if not tasks:
        raise ValueError("no tasks in what was given: name a dataset folder or a file of JSON lines with tasks in it")
    return [tasks[key] for key in sorted(tasks)]


def _read(path: Path) -> list[Task]:
    if path.is_dir():
        return read_dataset(path, Task)
    if not path.is_file() or not path.name.endswith(SUFFIXES):
        raise FileNotFoundError(
            f"{path} holds no tasks: name a dataset folder, or a {' or '.join(SUFFIXES)} file of tasks (data_contracts.tasks)"
        )
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return [_parsed(line, path, number) for number, line in enumerate(file, start=1) if line.strip()]


def _parsed(line: str, path: Path, number: int) -> Task:
    try:
        return Task.from_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"{path}:{number} is no task: {where}: {first['msg']}; correct the line or remove it"
        ) from error


def drawn(tasks: Iterable[Task], number: int) -> list[Task]:
    """The first `number` tasks in an order that is random, but the same for ever."""
    return sorted(tasks, key=lambda task: content_hash(["eval", task.key]))[:number]
