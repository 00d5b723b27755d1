"""What an importer reads out of one row of a log, and the attempt that it becomes."""

from dataclasses import dataclass
from typing import Any, Protocol

from data_contracts.attempts import Attempt, Origin, Outcome, Policy, PolicyKind, RepeatKind, RewardPart, StopReason
from data_contracts.ids import content_hash
from data_contracts.tasks import Task
from pipelines.sources.importers.transcript import Transcript

UNKNOWN_SEED = 0
"""Logs state no seed."""


@dataclass(frozen=True)
class Place:
    """Where a row stands."""

    file: str
    """Relative to the folder that is read, with `/`."""
    line: int
    """From 1, as editors count."""

    @property
    def ref(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Recording:
    """One row, read: all of an attempt but its number among its repeats."""

    task: Task
    policy: Policy
    run: str
    """The run of the harness that made it, as far as the log says."""
    transcript: Transcript
    stop: StopReason
    outcome: Outcome
    rewards: tuple[RewardPart, ...]
    flags: tuple[str, ...]
    fingerprint: str
    """Hash of the raw transcript, ids of calls included: equal for byte-identical records."""
    further: RepeatKind
    """What a further attempt of the same policy at the same task is, when it is no copy."""


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

    def read(self, row: dict[str, Any], place: Place) -> Recording:
        """Read one row. Raises ValueError, with what is wrong, for a row that breaks the source's own schema."""
        ...


def recorded_policy(model: str) -> Policy:
    """The policy of a log, which names its model but no revision."""
    return Policy(kind=PolicyKind.RECORDED, name=model, revision="unknown")


def as_attempt(recording: Recording, index: int, kind: RepeatKind, place: Place) -> Attempt:
    """The attempt of a recording, once its number among its repeats is known."""
    task = recording.task
    spec_hash = content_hash({"source": task.source, "run": recording.run})
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
        final_answer=recording.transcript.final_answer,
        outcome=recording.outcome,
        rewards=recording.rewards,
        repeat_kind=kind,
        flags=recording.flags,
        source=task.source,
        source_ref=place.ref,
        domain=task.domain,
        licence=task.licence,
    )
