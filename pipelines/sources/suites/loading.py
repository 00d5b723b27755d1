"""Suites from the hub, or from a local copy: rows to questions, questions to tasks."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import httpx2

from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task, TaskLimits
from pipelines.sources.importers.lines import read_lines
from pipelines.sources.questions import PYTHON
from pipelines.sources.suites.items import SUFFIXES, Item
from pipelines.sources.suites.suite import Question, Row, Suite

LIMITS = TaskLimits(max_turns=16, max_calls=15, max_tokens=20_480, max_result_tokens=2_048)
"""Of arXiv 2510.11701: 16 turns, and so at most 15 calls, in 20,480 tokens."""


def load_questions(suite: Suite, path: Path | None = None, revision: str | None = None) -> list[Question]:
    """All questions, each under a name of its own: from the hub at `revision`, or from a local copy.

    A copy is a *.jsonl[.gz] or *.parquet file, or a folder that `datasets.load_dataset` reads, such as a clone of the hub
    repository. Raises ValueError with file and row for one that cannot be read.
    """
    rows = _local(suite, path) if path is not None else _from_hub(suite, revision or suite.revision)
    place = str(path or f"{suite.hub_id}")
    questions: dict[str, Question] = {}
    for number, row in rows:
        question = _read(suite, row, f"{place}:{number}")
        name = question.name or str(number)
        name = f"{name}:{number}" if name in questions else name
        questions[name] = replace(question, name=name)
    if not questions:
        raise ValueError(f"suite {suite.name}: {place} holds no rows")
    return list(questions.values())


def found_revision(suite: Suite, path: Path | None = None, revision: str | None = None) -> str | None:
    """The commit that a revision on the hub is now; of a copy, and where the hub does not say, what was asked for."""
    from huggingface_hub import HfApi

    if path is not None:
        return revision
    asked = revision or suite.revision
    try:
        return HfApi().dataset_info(suite.hub_id, revision=asked).sha or asked
    except (OSError, httpx.HTTPError, httpx2.HTTPError):  # an earlier load may lie on this disk
        return asked


def suite_tasks(suite: Suite, questions: Iterable[Question], limits: TaskLimits = LIMITS) -> list[Task]:
    """The questions as test tasks that declare the Python tool."""
    return [
        Task.create(
            messages=(Message(role=Role.USER, content=f"{question.text}{question.more}{suite.ask}"),),
            tools=(PYTHON,),
            verifier=question.verifier,
            limits=limits,
            source=suite.name,
            source_id=question.name,
            domain=question.domain,
            licence=suite.licence,
            split=Split.TEST,
        )
        for question in questions
    ]


def question_items(suite: Suite, questions: Iterable[Question]) -> list[Item]:
    """The questions alone, by the name that their tasks have: what training data is compared with."""
    return [Item(f"{suite.name}/{question.name}", question.text) for question in questions]


def _read(suite: Suite, row: Row, place: str) -> Question:
    try:
        return suite.read(row)
    except (ValueError, SyntaxError, KeyError) as error:
        raise ValueError(f"suite {suite.name}: {place}: {error}") from error


def _local(suite: Suite, path: Path) -> Iterator[tuple[int, Row]]:
    if not path.exists():
        raise FileNotFoundError(
            f"suite {suite.name}: {path} does not exist: name a copy of {suite.hub_id}, or leave it out"
        )
    if not path.name.endswith(SUFFIXES):
        yield from _by_datasets(suite, path)
        return
    for line in read_lines(path):
        if line.row is None:
            raise ValueError(f"{path}:{line.number}: {line.problem}; correct the line or remove it")
        yield line.number, line.row


def _by_datasets(suite: Suite, path: Path) -> Iterator[tuple[int, Row]]:
    from datasets import load_dataset

    if path.suffix == ".parquet":
        rows = load_dataset("parquet", data_files=str(path), split="train")
    else:
        rows = load_dataset(str(path), split=suite.split)
    yield from enumerate(rows, start=1)


def _from_hub(suite: Suite, revision: str) -> Iterator[tuple[int, Row]]:
    from datasets import load_dataset

    try:
        if suite.file is not None:
            address = f"hf://datasets/{suite.hub_id}@{revision}/{suite.file}"
            rows = load_dataset("json", data_files=address, split="train")
        else:
            rows = load_dataset(suite.hub_id, suite.config, split=suite.split, revision=revision)
    except OSError as error:
        raise ValueError(
            f"suite {suite.name}: {suite.hub_id} at {revision} cannot be loaded from the hub ({error}): check the network, "
            "accept its terms and log in where it is gated, or give a local copy"
        ) from error
    yield from enumerate(rows, start=1)
