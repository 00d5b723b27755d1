"""Whole attempts, message by message, and the task that they belong to."""

from typing import Any, NamedTuple

from data_contracts.attempts import Attempt, CallRecord, CallStatus, Turn
from data_contracts.messages import Message, Role, ToolCall
from data_contracts.tasks import Split, Task, VerifierRef
from data_contracts.tools import ToolSpec
from tests.pipelines.curation.made import attempt

PYTHON = ToolSpec(
    name="python",
    description="Run Python.",
    parameters='{"type":"object","properties":{"code":{"type":"string"}},"required":["code"],"additionalProperties":false}',
)
LOOKUP = ToolSpec(
    name="lookup",
    description="Look a page up.",
    parameters='{"type":"object","properties":{"page":{"type":"string"},"lines":{"type":"integer"}},"required":["page"]}',
)
QUESTION = Message(role=Role.USER, content="How many apples are in 6 boxes of 7?")
TASK = Task.create(
    messages=(QUESTION,),
    tools=(PYTHON, LOOKUP),
    verifier=VerifierRef(name="math", reference="42"),
    source="made",
    source_id="apples",
    domain="d",
    licence="MIT",
    split=Split.TRAIN,
)


class Asked(NamedTuple):
    """A call and what came back; `result=None`: nothing did."""

    arguments: str
    result: str | None = "42"
    status: CallStatus = CallStatus.OK
    name: str = "python"


GOOD = Asked('{"code":"print(6*7)"}')
FAILED = Asked('{"code":"print(6*"}', "SyntaxError: '(' was never closed", CallStatus.ERROR)
ANSWER = "There are \\boxed{42} apples."


def played(key: str, *steps: str | Asked | tuple[str, Asked], question: Message = QUESTION, **changes: Any) -> Attempt:
    """An attempt at TASK: a text is a turn without a call, an Asked a turn with one, a pair a turn with both."""
    messages, turns = [question], list[Turn]()
    for number, step in enumerate(steps):
        text, asked = step if isinstance(step, tuple) and not isinstance(step, Asked) else ("", step)
        if isinstance(asked, str):
            text, asked = asked, None
        calls = [(f"{key}-{number}", asked)] if asked else []
        named = tuple(ToolCall(id=i, name=a.name, arguments=a.arguments) for i, a in calls)
        messages.append(Message(role=Role.ASSISTANT, content=text, tool_calls=named))
        messages += [
            Message(role=Role.TOOL, content=a.result, tool_call_id=i) for i, a in calls if a.result is not None
        ]
        turns.append(Turn(text=text, calls=tuple(_record(i, a) for i, a in calls)))
    final = turns[-1].text if turns and not turns[-1].calls else None
    fields = {"messages": tuple(messages), "turns": tuple(turns), "final_answer": final, "task_key": TASK.key}
    return attempt(key).model_copy(update=fields | changes)


def _record(call_id: str, asked: Asked) -> CallRecord:
    name = None if asked.status is CallStatus.MALFORMED else asked.name
    return CallRecord(id=call_id, name=name, arguments=asked.arguments, status=asked.status, result=asked.result or "")


def with_messages(row: Attempt, *messages: Message) -> Attempt:
    """The attempt with another transcript, its turns unchanged."""
    return row.model_copy(update={"messages": messages})
