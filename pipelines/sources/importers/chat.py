"""Chat messages in OpenAI's form, as logs hold them: null or block content, calls as objects or as JSON strings."""

import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from data_contracts.attempts import CallStatus
from data_contracts.ids import canonical_json
from data_contracts.messages import Role
from pipelines.sources.importers.transcript import AskedCall, TranscriptBuilder


class Raw(BaseModel):
    """A part of a foreign row: types are strict, fields that we do not use are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _as_text(value: Any) -> Any:
    """Null is the empty string; a list of text blocks is their concatenation."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "".join(_block_text(block) for block in value)
    return value


def _block_text(block: Any) -> str:
    text = block.get("text", block.get("content")) if isinstance(block, dict) else None
    if not isinstance(text, str):
        raise ValueError(f"a content block without text: {str(block)[:80]}")
    return text


Text = Annotated[str, BeforeValidator(_as_text)]


class RawFunction(Raw):
    """Name and arguments of a call."""

    name: str
    arguments: str | dict[str, Any]


class RawCall(Raw):
    """One item of `tool_calls`."""

    id: str | None = None
    function: RawFunction

    def asked(self) -> AskedCall:
        """The call, its arguments as text: verbatim where the log has text."""
        arguments = self.function.arguments
        text = arguments if isinstance(arguments, str) else canonical_json(arguments)
        return AskedCall(self.function.name, text, self.id)


class RawMessage(Raw):
    """One chat message."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Text = ""
    tool_calls: list[Annotated[RawCall, BeforeValidator(_decoded)]] | None = None
    tool_call_id: str | None = None


def add_prompt(builder: TranscriptBuilder, messages: Iterable[RawMessage]) -> None:
    """Add messages that came before the attempt. Raises ValueError for one that is not the system's or the user's."""
    for message in messages:
        if message.role not in ("system", "user"):
            raise ValueError(f"a prompt with a message of role {message.role!r}: only system and user are read")
        builder.say(Role(message.role), message.content)


def add_messages(builder: TranscriptBuilder, messages: Iterable[RawMessage]) -> None:
    """Add the messages of an attempt."""
    for message in messages:
        if message.role == "assistant":
            builder.turn(message.content, [call.asked() for call in message.tool_calls or ()])
        elif message.role == "tool":
            builder.result(message.content, message.tool_call_id)
        else:
            builder.say(Role(message.role), message.content)


def error_if(is_error: Callable[[str], object]) -> Callable[[str], CallStatus]:
    """The rule of a source that tells errors by the text of the result."""
    return lambda text: CallStatus.ERROR if is_error(text) else CallStatus.OK
