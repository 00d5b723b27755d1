"""Messages and turns from what a log says happened, in order; every call is paired with its result."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data_contracts.attempts import CallRecord, CallStatus, Turn
from data_contracts.messages import Message, Role, ToolCall


@dataclass(frozen=True)
class AskedCall:
    """A call as a log states it."""

    name: str
    arguments: str
    """JSON text."""
    id: str | None = None


@dataclass(frozen=True)
class Transcript:
    """A whole conversation: all messages, and one turn per assistant message of the attempt."""

    messages: tuple[Message, ...]
    turns: tuple[Turn, ...]

    @property
    def final_answer(self) -> str | None:
        """The last turn's text; None where it calls a tool or is blank."""
        if not self.turns or self.turns[-1].calls or not self.turns[-1].text.strip():
            return None
        return self.turns[-1].text

    @property
    def ends_with_answer(self) -> bool:
        """Whether the last message is an assistant's, without a call."""
        return bool(self.messages) and self.messages[-1].role is Role.ASSISTANT and not self.messages[-1].tool_calls


class TranscriptBuilder:
    """Collects a conversation message by message.

    Calls get new ids, `call_1` onward: logs repeat theirs or have none. A result goes to the call of the last turn whose
    id it states, else to the first one that still waits. A call that no result answers has the status UNKNOWN.
    """

    def __init__(self, status_of: Callable[[str], CallStatus]) -> None:
        """`status_of` tells, from the text of a result, how the call ended."""
        self._status_of = status_of
        self._messages: list[Message] = []
        self._texts: list[str] = []
        self._calls: list[list[CallRecord]] = []
        self._waiting: list[tuple[str | None, int]] = []
        self._num_calls = 0

    def say(self, role: Role, text: str) -> None:
        """A message of the system or the user."""
        self._messages.append(Message(role=role, content=text))
        self._waiting = []

    def turn(self, text: str, calls: Sequence[AskedCall] = ()) -> None:
        """An assistant message."""
        named = [(f"call_{self._num_calls + n}", call) for n, call in enumerate(calls, start=1)]
        self._num_calls += len(calls)
        asked = tuple(ToolCall(id=id, name=call.name, arguments=call.arguments) for id, call in named)
        self._messages.append(Message(role=Role.ASSISTANT, content=text, tool_calls=asked))
        self._texts.append(text)
        self._calls.append([_unanswered(call) for call in asked])
        self._waiting = [(call.id, position) for position, call in enumerate(calls)]

    def result(self, text: str, call_id: str | None = None) -> None:
        """A tool's result. Raises ValueError where no call waits for one."""
        if not self._waiting:
            raise ValueError(f"a tool result answers no call: {text[:80]!r}")
        slot = next((w for w in self._waiting if call_id is not None and w[0] == call_id), self._waiting[0])
        self._waiting.remove(slot)
        call = self._calls[-1][slot[1]]
        status = self._status_of(text) if call.status is CallStatus.UNKNOWN else call.status
        self._calls[-1][slot[1]] = call.model_copy(update={"status": status, "result": text})
        self._messages.append(Message(role=Role.TOOL, content=text, tool_call_id=call.id, name=call.name))

    def build(self) -> Transcript:
        """The conversation so far."""
        turns = tuple(Turn(text=text, calls=tuple(calls)) for text, calls in zip(self._texts, self._calls, strict=True))
        return Transcript(tuple(self._messages), turns)


def _unanswered(call: ToolCall) -> CallRecord:
    well_formed = _is_object(call.arguments)
    return CallRecord(
        id=call.id,
        name=call.name if well_formed else None,
        arguments=call.arguments,
        status=CallStatus.UNKNOWN if well_formed else CallStatus.MALFORMED,
        result="",
    )


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
