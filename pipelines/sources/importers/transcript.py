"""Messages and turns from what a log says happened, in order; every call is paired with its result."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pydantic import TypeAdapter

from data_contracts.attempts import CallStatus, Turn
from data_contracts.messages import Message, Role
from pipelines.sources.importers.fast_json import object_json

Fields = dict[str, Any]
"""A record's fields before it is validated: all messages of a conversation are, at once, when it is complete."""

_MESSAGES: TypeAdapter[tuple[Message, ...]] = TypeAdapter(tuple[Message, ...])
_TURNS: TypeAdapter[tuple[Turn, ...]] = TypeAdapter(tuple[Turn, ...])


@dataclass(frozen=True)
class AskedCall:
    """A call as a log states it."""

    name: str
    arguments: str
    """JSON text."""
    id: str | None = None
    is_object: bool = False
    """Whether the arguments are known to be the JSON text of an object."""

    @classmethod
    def of(cls, name: str, arguments: dict[str, Any], id: str | None = None) -> Self:
        """A call whose arguments the log holds as values."""
        return cls(name, object_json(arguments), id, is_object=True)


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
        self._messages: list[Fields] = []
        self._turns: list[Fields] = []
        self._waiting: list[tuple[str | None, Fields]] = []
        self._user_waiting: list[tuple[str | None, Fields]] = []
        self._num_calls = self._num_user_calls = 0

    def say(self, role: Role, text: str, calls: Sequence[AskedCall] = ()) -> None:
        """A message of the system or the user. Calls of a simulated user are none of the agent's turns."""
        asked = _numbered(calls, "user_call", self._num_user_calls)
        self._num_user_calls += len(calls)
        self._messages.append({"role": role, "content": text, "tool_calls": asked})
        self._waiting = []
        self._user_waiting = [(call.id, ours) for call, ours in zip(calls, asked, strict=True)]

    def user_result(self, text: str, call_id: str | None = None) -> None:
        """The result of a simulated user's call. Raises ValueError where none waits for one."""
        call = _answered(self._user_waiting, text, call_id)
        answer = {"role": Role.TOOL, "content": text, "tool_call_id": call["id"], "name": call["name"]}
        self._messages.append(answer | {"requestor": Role.USER})

    def turn(self, text: str, calls: Sequence[AskedCall] = (), reasoning: str | None = None) -> None:
        """An assistant message."""
        asked = _numbered(calls, "call", self._num_calls)
        records = [_unanswered(fields, call.is_object) for fields, call in zip(asked, calls, strict=True)]
        self._num_calls += len(calls)
        self._messages.append({"role": Role.ASSISTANT, "content": text, "reasoning": reasoning, "tool_calls": asked})
        self._turns.append({"text": text, "calls": records})
        self._waiting = [(call.id, record) for call, record in zip(calls, records, strict=True)]

    def result(self, text: str, call_id: str | None = None, status: CallStatus | None = None) -> None:
        """A tool's result, with its status where the log states one. Raises ValueError where no call waits for one."""
        call = _answered(self._waiting, text, call_id)
        if call["status"] is CallStatus.UNKNOWN:
            call["status"] = status or self._status_of(text)
        call["result"] = text
        self._messages.append({"role": Role.TOOL, "content": text, "tool_call_id": call["id"], "name": call["name"]})

    def build(self) -> Transcript:
        """The conversation so far. Raises ValidationError for text that is none."""
        return Transcript(_MESSAGES.validate_python(self._messages), _TURNS.validate_python(self._turns))


def _numbered(calls: Sequence[AskedCall], prefix: str, num_before: int) -> list[Fields]:
    return [
        {"id": f"{prefix}_{n}", "name": call.name, "arguments": call.arguments}
        for n, call in enumerate(calls, start=num_before + 1)
    ]


def _answered(waiting: list[tuple[str | None, Fields]], text: str, call_id: str | None) -> Fields:
    """Take the call that a result answers from those that wait: the one with its id, else the first."""
    if not waiting:
        raise ValueError(f"a tool result answers no call: {text[:80]!r}")
    stated = (n for n, (id, _) in enumerate(waiting) if call_id is not None and id == call_id)
    return waiting.pop(next(stated, 0))[1]


def _unanswered(call: Fields, is_object: bool) -> Fields:
    well_formed = is_object or _is_object(call["arguments"])
    return call | {
        "name": call["name"] if well_formed else None,
        "status": CallStatus.UNKNOWN if well_formed else CallStatus.MALFORMED,
        "result": "",
    }


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
