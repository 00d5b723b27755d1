"""Messages and turns from what a log says happened, in order; every call is paired with its result."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from data_contracts.attempts import CallRecord, CallStatus, Turn
from data_contracts.messages import Message, Role, ToolCall

Waiting = TypeVar("Waiting")


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
        self._user_waiting: list[tuple[str | None, ToolCall]] = []
        self._num_calls = self._num_user_calls = 0

    def say(self, role: Role, text: str, calls: Sequence[AskedCall] = ()) -> None:
        """A message of the system or the user. Calls of a simulated user are none of the agent's turns."""
        asked = _numbered(calls, "user_call", self._num_user_calls)
        self._num_user_calls += len(calls)
        self._messages.append(Message(role=role, content=text, tool_calls=asked))
        self._waiting = []
        self._user_waiting = [(call.id, ours) for call, ours in zip(calls, asked, strict=True)]

    def user_result(self, text: str, call_id: str | None = None) -> None:
        """The result of a simulated user's call. Raises ValueError where none waits for one."""
        call = _answered(self._user_waiting, text, call_id)
        message = Message(role=Role.TOOL, content=text, tool_call_id=call.id, name=call.name, requestor=Role.USER)
        self._messages.append(message)

    def turn(self, text: str, calls: Sequence[AskedCall] = (), reasoning: str | None = None) -> None:
        """An assistant message."""
        asked = _numbered(calls, "call", self._num_calls)
        self._num_calls += len(calls)
        self._messages.append(Message(role=Role.ASSISTANT, content=text, reasoning=reasoning, tool_calls=asked))
        self._texts.append(text)
        self._calls.append([_unanswered(call) for call in asked])
        self._waiting = [(call.id, position) for position, call in enumerate(calls)]

    def result(self, text: str, call_id: str | None = None, status: CallStatus | None = None) -> None:
        """A tool's result, with its status where the log states one. Raises ValueError where no call waits for one."""
        position = _answered(self._waiting, text, call_id)
        call = self._calls[-1][position]
        found = (status or self._status_of(text)) if call.status is CallStatus.UNKNOWN else call.status
        self._calls[-1][position] = call.model_copy(update={"status": found, "result": text})
        self._messages.append(Message(role=Role.TOOL, content=text, tool_call_id=call.id, name=call.name))

    def build(self) -> Transcript:
        """The conversation so far."""
        turns = tuple(Turn(text=text, calls=tuple(calls)) for text, calls in zip(self._texts, self._calls, strict=True))
        return Transcript(tuple(self._messages), turns)


def _numbered(calls: Sequence[AskedCall], prefix: str, num_before: int) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(id=f"{prefix}_{n}", name=call.name, arguments=call.arguments)
        for n, call in enumerate(calls, start=num_before + 1)
    )


def _answered(waiting: list[tuple[str | None, Waiting]], text: str, call_id: str | None) -> Waiting:
    """Take the call that a result answers from those that wait: the one with its id, else the first."""
    if not waiting:
        raise ValueError(f"a tool result answers no call: {text[:80]!r}")
    found = next((item for item in waiting if call_id is not None and item[0] == call_id), waiting[0])
    waiting.remove(found)
    return found[1]


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
