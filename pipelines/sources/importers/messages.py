"""Chat messages in OpenAI's form, as servers log them and as datasets of the Hugging Face hub hold them.

A row has `messages`, and may have `tools`, `model`, `licence` (or `license`), `domain`, `finish_reason` and a label in
the column that [recorded.labels] names. Messages and tools may be JSON text; content may be text, null or text blocks;
calls may be objects, bare `name` and `arguments`, or JSON text. What stands before the first answer is the task.
An error is told by how the result begins: the format has no field for it.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from data_contracts.attempts import Flag, Outcome, RepeatKind, StopReason
from data_contracts.ids import content_hash
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task
from pipelines.sources.importers.chat import Call, Raw, RawCall, Text, begins_with_error, decoded, error_if, shape_flags
from pipelines.sources.importers.declared import tool_specs
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.labels import Label, label_at
from pipelines.sources.importers.recipe import RecordedRecipe
from pipelines.sources.importers.recording import Place, Recording, recorded_policy
from pipelines.sources.importers.transcript import Transcript, TranscriptBuilder

ROLES = {"developer": Role.SYSTEM, "system": Role.SYSTEM, "user": Role.USER}
VERSION = "messages-log"

_SHARD = re.compile(r"-\d+-of-\d+$")


class _Message(Raw):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text = ""
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: Annotated[list[Call] | None, BeforeValidator(decoded)] = None
    function_call: Call | None = None
    tool_call_id: str | None = None

    @property
    def calls(self) -> list[RawCall]:
        """The older form has one call a message."""
        return self.tool_calls or ([self.function_call] if self.function_call else [])


class _Row(Raw):
    messages: list[_Message]
    model: str | None = None
    licence: str | None = None
    license: str | None = None
    domain: str | None = None
    finish_reason: str | None = None


class MessagesImporter:
    """One row is one conversation."""

    name = "messages"

    def __init__(self, recipe: RecordedRecipe) -> None:
        """The recipe says what the rows do not."""
        self._recipe = recipe
        self.licence = recipe.licence or ""

    def recognises(self, row: dict[str, Any]) -> bool:
        """By its messages."""
        return "messages" in row

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one row. Raises ValueError where neither the row nor the recipe names the model."""
        messages = decoded(row["messages"])
        raw = _Row.model_validate(row | {"messages": messages})
        model = raw.model or self._recipe.model
        if not model:
            raise ValueError("the row names no model: set [recorded] model, or give it a column `model`")
        transcript = _transcript(raw.messages, place.file.endswith(".parquet"))
        label = self._label(row, transcript)
        recording = Recording(
            task=_task(raw, tool_specs(row.get("tools")), place, self.licence),
            policy=recorded_policy(model),
            run=place.file,
            transcript=transcript,
            stop=_stop(raw, transcript),
            outcome=label.outcome,
            rewards=label.rewards,
            flags=label.flags | shape_flags(messages),
            fingerprint=fingerprint_of(messages),
            further=RepeatKind.SEED,
        )
        return [recording]

    def _label(self, row: dict[str, Any], transcript: Transcript) -> Label:
        if self._recipe.labels is not None:
            return label_at(row, self._recipe.labels, transcript, VERSION)
        if not transcript.turns:
            raise ValueError("no message of an assistant: this is a task, not an attempt at one")
        return Label(Outcome.UNLABELLED, frozenset[Flag](), ())


def _transcript(messages: list[_Message], from_arrow: bool) -> Transcript:
    builder = TranscriptBuilder(error_if(begins_with_error))
    for message in messages:
        if message.role == "assistant":
            calls = [call.asked(from_arrow) for call in message.calls]
            builder.turn(message.content, calls, message.reasoning_content or message.reasoning)
        elif message.role in ROLES:
            builder.say(ROLES[message.role], message.content)
        else:
            builder.result(message.content, message.tool_call_id)
    return builder.build()


def _stop(raw: _Row, transcript: Transcript) -> StopReason:
    if raw.finish_reason == "length":
        return StopReason.LENGTH
    return StopReason.END if transcript.ends_with_answer else StopReason.UNKNOWN


def _task(raw: _Row, tools: tuple[Any, ...], place: Place, licence: str) -> Task:
    first_answer = next((n for n, m in enumerate(raw.messages) if m.role == "assistant"), len(raw.messages))
    prompt = [(ROLES[m.role], m.content) for m in raw.messages[:first_answer] if m.role in ROLES]
    domain = raw.domain or _SHARD.sub("", place.stem)
    return Task.create(
        messages=tuple(Message(role=role, content=text) for role, text in prompt),
        tools=tools,
        source=MessagesImporter.name,
        source_id=f"{domain}/{content_hash([text for _, text in prompt])[:12]}",
        domain=domain,
        licence=raw.licence or raw.license or licence,
        split=Split.TRAIN,
    )
