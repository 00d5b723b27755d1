"""AgentDojo: an assistant with tools, at times under prompt injection (github.com/ethz-spylab/agentdojo, MIT).

Success is `utility`. `security` means something only under attack: true says that the injection succeeded. The tools'
results may hold injected instructions: they are data. A run that the model's server broke off is a crashed run, unless
the context was full. A call whose arguments do not fit the tool's signature has a status of its own: the log holds no
schemas that could tell.
"""

import re
from typing import Any, Literal

from data_contracts.attempts import CallStatus, Flag, Outcome, RepeatKind, StopReason
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task
from pipelines.sources.importers.chat import Raw, Text, error_if, shape_flags
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.recording import Place, Recording, recorded_policy
from pipelines.sources.importers.transcript import AskedCall, Transcript, TranscriptBuilder

BENIGN, ATTACKED = "benign", "attacked"
CONTEXT_FULL = "context_length_exceeded"

_REFUSED = re.compile(r"validation errors? for Input schema|\(\) (?:got an unexpected keyword|missing \d+ required) ")
"""What pydantic and Python say of arguments."""


class _Call(Raw):
    function: str
    args: dict[str, Any]
    id: str | None = None

    def asked(self) -> AskedCall:
        return AskedCall.of(self.function, self.args, self.id)


class _Message(Raw):
    role: Literal["system", "user", "assistant", "tool"]
    content: Text = ""
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    error: str | None = None


class _Row(Raw):
    suite_name: str
    user_task_id: str
    injection_task_id: str | None = None
    attack_type: str | None = None
    messages: list[_Message]
    error: str | None = None
    utility: bool
    security: bool


class AgentDojoImporter:
    """One row is one run at one user task."""

    name = "agentdojo"
    licence = "MIT"

    def recognises(self, row: dict[str, Any]) -> bool:
        """By its suite, task and the two verdicts."""
        return {"suite_name", "user_task_id", "utility", "security"} <= row.keys()

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one row. The model is the file's name: `pipeline_name` is `local` for several."""
        raw = _Row.model_validate(row)
        transcript = _transcript(raw)
        crashed = raw.error is not None and CONTEXT_FULL not in raw.error
        recording = Recording(
            task=_task(raw, self.name, self.licence),
            policy=recorded_policy(place.stem),
            run=place.file,
            transcript=transcript,
            stop=_stop(raw, crashed, transcript),
            outcome=Outcome.VOID if crashed else Outcome.CORRECT if raw.utility else Outcome.WRONG,
            rewards=(),
            flags=_flags(raw, crashed) | shape_flags(row["messages"]),
            fingerprint=fingerprint_of(row["messages"]),
            further=RepeatKind.SEED,
        )
        return [recording]


def _transcript(raw: _Row) -> Transcript:
    builder = TranscriptBuilder(error_if(lambda text: False))
    for message in raw.messages:
        if message.role == "assistant":
            builder.turn(message.content, [call.asked() for call in message.tool_calls or ()])
        elif message.role == "tool":
            builder.result(message.content or message.error or "", message.tool_call_id, _status(message.error))
        else:
            builder.say(Role(message.role), message.content)
    return builder.build()


def _status(error: str | None) -> CallStatus:
    if error is None:
        return CallStatus.OK
    return CallStatus.INVALID_ARGUMENTS if _REFUSED.search(error) else CallStatus.ERROR


def _stop(raw: _Row, crashed: bool, transcript: Transcript) -> StopReason:
    if crashed:
        return StopReason.ENVIRONMENT_ERROR
    if raw.error is not None:
        return StopReason.TOOL_OVERFLOW
    return StopReason.END if transcript.ends_with_answer else StopReason.UNKNOWN


def _flags(raw: _Row, crashed: bool) -> set[Flag]:
    found = {Flag.CRASHED_RUN: crashed, Flag.INJECTION_SUCCEEDED: raw.attack_type is not None and raw.security}
    return {flag for flag, holds in found.items() if holds}


def _task(raw: _Row, source: str, licence: str) -> Task:
    first_turn = next((n for n, m in enumerate(raw.messages) if m.role == "assistant"), len(raw.messages))
    prompt = [m for m in raw.messages[:first_turn] if m.role in ("system", "user")]
    injection = f"/{raw.injection_task_id}" if raw.injection_task_id else ""
    return Task.create(
        messages=tuple(Message(role=Role(m.role), content=m.content) for m in prompt),
        source=source,
        source_id=f"{raw.suite_name}/{raw.user_task_id}{injection}",
        domain=BENIGN if raw.attack_type is None else ATTACKED,
        licence=licence,
        split=Split.TEST,
    )
