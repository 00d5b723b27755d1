"""mini-swe-agent: issues of real repositories, solved in a shell (github.com/SWE-agent/mini-swe-agent, MIT).

The verdict is the SWE-bench harness's where the log carries it (`_src.resolved`). Decoding is at temperature 0: repeats
are of unproven independence. The submitted patch is the final answer; the call that submits has no result.
"""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, Literal

from data_contracts.attempts import CallStatus, Outcome, RepeatKind, StopReason
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task
from pipelines.sources.importers.chat import Raw, RawMessage, Text, add_messages, error_if, shape_flags
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.recording import Place, Recording, recorded_policy
from pipelines.sources.importers.transcript import Transcript, TranscriptBuilder

SUBMITTED = "Submitted"

_RETURN_CODE = re.compile(r"<returncode>(-?\d+)")


class _Exit(Raw):
    role: Literal["exit"]
    content: Text = ""


class _Model(Raw):
    model_name: str


class _Config(Raw):
    model: _Model


class _Info(Raw):
    config: _Config
    exit_status: str | None = None
    submission: str | None = None


class _Helper(Raw):
    resolved: Literal[0, 1] | None = None


class _Row(Raw):
    info: _Info
    messages: list[RawMessage | _Exit]
    instance_id: str
    helper: _Helper


class MiniSweImporter:
    """One row is one run at one issue."""

    name = "miniswe"
    licence = "MIT"

    def recognises(self, row: dict[str, Any]) -> bool:
        """By its format's name and instance."""
        return {"trajectory_format", "instance_id", "messages"} <= row.keys()

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one row. The part, `test` or `dev`, comes from the file's name, which is the run's."""
        raw = _Row.model_validate({**row, "helper": row.get("_src", {})})
        transcript = _transcript(raw)
        submitted = raw.info.exit_status == SUBMITTED
        recording = Recording(
            task=_task(raw, "test" if "test" in place.stem else "dev", self.name, self.licence),
            policy=recorded_policy(PurePosixPath(raw.info.config.model.model_name).name),
            run=place.stem,
            transcript=transcript,
            stop=StopReason.END if submitted else StopReason.UNKNOWN,
            outcome=_OUTCOMES[raw.helper.resolved],
            rewards=(),
            flags=shape_flags(row["messages"]),
            fingerprint=fingerprint_of([message.model_dump() for message in raw.messages]),
            further=RepeatKind.SEED,
            answer=raw.info.submission or None,
        )
        return [recording]


_OUTCOMES: dict[Literal[0, 1] | None, Outcome] = {1: Outcome.CORRECT, 0: Outcome.WRONG, None: Outcome.UNLABELLED}


def _failed(text: str) -> bool:
    code = _RETURN_CODE.search(text)
    return code is None or code[1] != "0"


_STATUS: Callable[[str], CallStatus] = error_if(_failed)


def _transcript(raw: _Row) -> Transcript:
    builder = TranscriptBuilder(_STATUS)
    add_messages(builder, (message for message in raw.messages if isinstance(message, RawMessage)))
    return builder.build()


def _task(raw: _Row, part: str, source: str, licence: str) -> Task:
    prompt = [m for m in raw.messages if isinstance(m, RawMessage)][:2]
    return Task.create(
        messages=tuple(Message(role=Role(m.role), content=m.content) for m in prompt if m.role in ("system", "user")),
        source=source,
        source_id=raw.instance_id,
        domain=part,
        licence=licence,
        split=Split.TEST,
    )
