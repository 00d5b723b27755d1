"""What an importer reads out of one row of a log, and the attempt that it becomes."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from data_contracts.attempts import (
    Attempt,
    Flag,
    Origin,
    Outcome,
    Policy,
    PolicyKind,
    RepeatKind,
    RewardPart,
    StopReason,
)
from data_contracts.ids import content_hash
from data_contracts.tasks import Task
from pipelines.sources.importers.transcript import Transcript

UNKNOWN_SEED = 0
"""Logs state no seed."""
TASKS_KEPT = 4096
"""Tasks that an importer keeps: attempts at one task mostly stand together, and a key costs a hash of its texts."""

_CONTROL = re.compile(r"<\|[a-z][a-z0-9_]{0,40}\|>")


@dataclass(frozen=True)
class Place:
    """Where a row stands."""

    file: str
    """Relative to the folder that is read, with `/`."""
    line: int
    """From 1, as editors count."""
    folder: Path = Path()
    """The folder that is read, for logs whose task definitions lie in a file of their own."""

    @property
    def stem(self) -> str:
        """The file's name without `.jsonl` and `.gz`, `.parquet` or `.json`."""
        name = PurePosixPath(self.file).name.removesuffix(".gz")
        return name.removesuffix(".jsonl").removesuffix(".parquet").removesuffix(".json")

    @property
    def ref(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Recording:
    """One attempt as its row states it: all but its number among its repeats."""

    task: Task
    policy: Policy
    run: str
    """The run of the harness that made it, as far as the log says."""
    transcript: Transcript
    stop: StopReason
    outcome: Outcome
    rewards: tuple[RewardPart, ...]
    flags: Iterable[Flag]
    """In any order."""
    fingerprint: str
    """Hash of the raw transcript, ids of calls included: equal for byte-identical records. What a harness says about the
    run itself (MINT: turns that are left) stays out."""
    further: RepeatKind
    """What a further attempt of the same policy at the same task is, when it is no copy."""
    answer: str | None = None
    """The final answer where the log states it apart from the messages, e.g. as the argument of a tool."""
    part: str = ""
    """Names the attempt inside its row, where a row holds several."""


@dataclass(frozen=True)
class Imported:
    """A task and one recorded attempt at it."""

    task: Task
    attempt: Attempt


class Importer(Protocol):
    """Reads the rows of one source."""

    name: str
    licence: str

    def recognises(self, row: dict[str, Any]) -> bool:
        """Whether the row has this source's shape."""
        ...

    def read(self, row: dict[str, Any], place: Place) -> Sequence[Recording]:
        """Read one row: mostly one attempt. Raises ValueError, with what is wrong, for a row that breaks the schema."""
        ...


def origin(row: dict[str, Any], place: Place) -> str:
    """Path of the log in the repository that it came from (`_src.path`), else of the file itself."""
    helper = row.get("_src")
    path = helper.get("path", place.file) if isinstance(helper, dict) else place.file
    if not isinstance(path, str):
        raise ValueError(f"_src.path is {str(path)[:80]!r}: expected the path of the log")
    return path


def domain_and_model(place: Place) -> tuple[str, str]:
    """`airline.gpt-4o.jsonl.gz` -> `airline`, `gpt-4o`. Raises ValueError for a name without a point."""
    domain, _, model = place.stem.partition(".")
    if not model:
        raise ValueError(f"{place.file} names no model: call the file <domain>.<model>.jsonl")
    return domain, model


@lru_cache(maxsize=TASKS_KEPT)
def recorded_policy(model: str) -> Policy:
    """The policy of a log, which names its model but no revision."""
    return Policy(kind=PolicyKind.RECORDED, name=model, revision="unknown")


def as_attempt(recording: Recording, index: int, kind: RepeatKind, place: Place) -> Attempt:
    """The attempt of a recording, once its number among its repeats is known."""
    task = recording.task
    spec_hash = _spec_hash(task.source, recording.run)
    return Attempt(
        key=Attempt.make_key(task.key, index, recording.policy, spec_hash, UNKNOWN_SEED),
        task_key=task.key,
        index=index,
        policy=recording.policy,
        spec_hash=spec_hash,
        seed=UNKNOWN_SEED,
        origin=Origin.RENDERED,
        tokenizer_id=None,
        messages=recording.transcript.messages,
        turns=recording.transcript.turns,
        stop=recording.stop,
        final_answer=recording.transcript.final_answer if recording.answer is None else recording.answer,
        outcome=recording.outcome,
        rewards=recording.rewards,
        repeat_kind=kind,
        flags=tuple(sorted({*recording.flags, *_control_text(recording.transcript)})),
        source=task.source,
        source_ref=f"{place.ref}#{recording.part}" if recording.part else place.ref,
        domain=task.domain,
        licence=task.licence,
    )


def _control_text(transcript: Transcript) -> Iterator[Flag]:
    """The flag for text that spells a control token; characters of it first: one is found fastest, two in few texts."""
    texts = (message.content for message in transcript.messages)
    if any("|" in text and "<|" in text and _CONTROL.search(text) for text in texts):
        yield Flag.CONTROL_TEXT


@lru_cache(maxsize=TASKS_KEPT)
def _spec_hash(source: str, run: str) -> str:
    return content_hash({"source": source, "run": run})
