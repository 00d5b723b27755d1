"""smolagents' benchmark: one agent that writes code, one that calls tools (github.com/huggingface/smolagents, Apache-2.0).

The log holds no verdict: an answer is right that is the reference, or a sentence in which the reference stands as a
number (which a wrong sentence may do too). An action that could not be parsed is answered without a call: that answer
is read as the user's.
"""

import ast
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal

from data_contracts.attempts import Flag, Outcome, RepeatKind, StopReason
from data_contracts.ids import content_hash
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task, VerifierRef
from pipelines.sources.importers.chat import Raw, Text, error_if
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.recording import Place, Recording, recorded_policy
from pipelines.sources.importers.transcript import AskedCall, Transcript, TranscriptBuilder

CALLING = "Calling tools:\n"
MAX_STEPS = "Reached max steps"

_ERROR = re.compile(r"Error|Traceback")
_NUMBER = re.compile(r"-?\d*\.?\d+(?:e-?\d+)?")


class _Step(Raw):
    role: Literal["system", "user", "assistant", "tool-call", "tool-response"]
    content: Text


class _Function(Raw):
    name: str
    arguments: str | dict[str, Any]


class _Call(Raw):
    id: str | None = None
    function: _Function

    def asked(self) -> AskedCall:
        """Code that stands alone becomes the argument `code`: it is no JSON text."""
        arguments = self.function.arguments
        values = {"code": arguments} if isinstance(arguments, str) else arguments
        return AskedCall.of(self.function.name, values, self.id)


class _Row(Raw):
    model_id: str
    agent_action_type: str
    question: str
    answer: Text
    true_answer: str
    source: str
    intermediate_steps: list[_Step]


class SmolAgentsImporter:
    """One row is one run at one question."""

    name = "smolagents"
    licence = "Apache-2.0"

    def recognises(self, row: dict[str, Any]) -> bool:
        """By its steps and reference."""
        return {"intermediate_steps", "true_answer", "agent_action_type"} <= row.keys()

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one row. The kind of action is part of the policy's name."""
        raw = _Row.model_validate(row)
        recording = Recording(
            task=_task(raw, self.name, self.licence),
            policy=recorded_policy(f"{raw.model_id}/{raw.agent_action_type}"),
            run=place.file,
            transcript=_transcript(raw.intermediate_steps),
            stop=_stop(raw.intermediate_steps),
            outcome=Outcome.CORRECT if _is_right(raw.answer.strip(), raw.true_answer.strip()) else Outcome.WRONG,
            rewards=(),
            flags={Flag.HEURISTIC_VERDICT, Flag.CALLS_IN_TEXT, Flag.BLOCK_CONTENT},
            fingerprint=fingerprint_of(row["intermediate_steps"]),
            further=RepeatKind.SEED,
            answer=raw.answer,
        )
        return [recording]


def _transcript(steps: list[_Step]) -> Transcript:
    """A turn is an assistant's step with the calls that follow it."""
    builder, said, calling = TranscriptBuilder(error_if(_ERROR.search)), list[str](), False
    for step in steps:
        if step.role == "tool-call":
            builder.turn("\n".join(said), list(_asked(step.content)))
        elif said:
            builder.turn("\n".join(said))
        said = [step.content] if step.role == "assistant" else []
        if step.role == "tool-response" and calling:
            builder.result(step.content)
        elif step.role in ("system", "user", "tool-response"):
            builder.say(Role.SYSTEM if step.role == "system" else Role.USER, step.content)
        calling = step.role == "tool-call"
    if said:
        builder.turn("\n".join(said))
    return builder.build()


def _asked(text: str) -> Iterator[AskedCall]:
    """The calls of a step: a Python list, as printed."""
    try:
        calls = ast.literal_eval(text.removeprefix(CALLING))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"a tool-call step that is no list of calls: {text[:80]!r}") from error
    for call in calls if isinstance(calls, list) else [calls]:
        yield _Call.model_validate(call).asked()


def _stop(steps: list[_Step]) -> StopReason:
    return StopReason.MAX_TURNS if any(MAX_STEPS in step.content for step in steps[-2:]) else StopReason.END


def _is_right(answer: str, reference: str) -> bool:
    if answer == reference or not _NUMBER.fullmatch(reference):
        return answer == reference
    return Decimal(reference) in map(Decimal, _NUMBER.findall(answer))


def _task(raw: _Row, source: str, licence: str) -> Task:
    verifier = "math" if raw.source == "MATH" else "exact"
    return Task.create(
        messages=(Message(role=Role.USER, content=raw.question),),
        verifier=VerifierRef(name=verifier, reference=raw.true_answer) if raw.true_answer.strip() else None,
        source=source,
        source_id=f"{raw.source}/{content_hash(raw.question)[:12]}",
        domain=raw.source,
        licence=licence,
        split=Split.TEST,
    )
