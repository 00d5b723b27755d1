"""Chat messages in OpenAI's form, as logs hold them: null or block content, calls as objects or as JSON strings."""

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from data_contracts.attempts import CallStatus, Flag
from data_contracts.messages import Role
from pipelines.sources.importers.lines import parse_json
from pipelines.sources.importers.transcript import AskedCall, TranscriptBuilder


class Raw(BaseModel):
    """A part of a foreign row: types are strict, fields that we do not use are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


def decoded(value: Any) -> Any:
    """JSON text as its value; anything else as it is. Raises ValueError for text that `parse_json` refuses."""
    return parse_json(value.encode()) if isinstance(value, str) else value


def _as_call(value: Any) -> Any:
    """Text as its value; name and arguments that stand bare as a function's."""
    call = decoded(value)
    if not isinstance(call, dict) or call.get("function") is not None:
        return call
    return {"id": call.get("id"), "function": {"name": call.get("name"), "arguments": call.get("arguments")}}


def without_nulls(value: Any) -> Any:
    """Objects that went through Arrow carry every other object's keys as nulls."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


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


_ERROR = re.compile(r"\s*(?:Error\b|\w+Error:|Traceback \(most recent call last\)|\{\"error\":)")

Text = Annotated[str, BeforeValidator(_as_text)]


class RawFunction(Raw):
    """Name and arguments of a call."""

    name: str
    arguments: str | dict[str, Any] | None = None


class RawCall(Raw):
    """One item of `tool_calls`; its text where a log holds that, its name and arguments where they stand bare."""

    id: str | None = None
    function: RawFunction

    def asked(self, from_arrow: bool = False) -> AskedCall:
        """The call, its arguments as text: verbatim where the log has text, without the nulls that Arrow puts in."""
        arguments = self.function.arguments
        if isinstance(arguments, str):
            return AskedCall(self.function.name, arguments, self.id)
        values = arguments or {}
        return AskedCall.of(self.function.name, without_nulls(values) if from_arrow else values, self.id)


Call = Annotated[RawCall, BeforeValidator(_as_call)]


class RawMessage(Raw):
    """One chat message."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Text = ""
    tool_calls: list[Call] | None = None
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


def begins_with_error(text: str) -> bool:
    """The rule for formats that have no field for a failed call: how a result begins."""
    return _ERROR.match(text) is not None


def shape_flags(messages: Iterable[Any]) -> set[Flag]:
    """How the messages of a log, as they stand there, differ from text, with calls as objects and arguments as text."""
    found = set[Flag]()
    for message in messages:
        if isinstance(message, dict):
            found |= _content_flags(message) | _call_flags(message.get("tool_calls"))
    return found


def _content_flags(message: dict[str, Any]) -> set[Flag]:
    if isinstance(message.get("content"), list):
        return {Flag.BLOCK_CONTENT}
    calls = message.get("role") == "assistant" and message.get("tool_calls")
    return {Flag.NULL_CONTENT} if calls and message.get("content") is None else set()


def _call_flags(calls: Any) -> set[Flag]:
    found = set[Flag]()
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, str):
            found.add(Flag.CALLS_AS_STRINGS)
        elif isinstance(call, dict) and any(isinstance(part, dict) for part in _arguments(call)):
            found.add(Flag.ARGUMENTS_AS_OBJECTS)
    return found


def _arguments(call: dict[str, Any]) -> tuple[Any, ...]:
    """What may be a call's arguments: OpenAI's `function.arguments`, tau2's `arguments`, AgentDojo's `args`."""
    function = call.get("function")
    inner = function.get("arguments") if isinstance(function, dict) else None
    return inner, call.get("arguments"), call.get("args")
