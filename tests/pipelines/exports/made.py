"""Attempts that hold every trap of a message format, and tasks with and without tools."""

import json

from data_contracts.attempts import Attempt
from data_contracts.messages import Message, Role, ToolCall
from data_contracts.tasks import Split, Task, VerifierRef
from data_contracts.tools import ToolSpec
from tests.pipelines.curation.made import attempt
from tests.pipelines.curation.played import LOOKUP, PYTHON

CODE = '{"code": "print(6*7)", "n": null, "deep": {"42": "7"}, "list": [1, 2]}'
PYTHON_TASK, BOTH_TASK = "task-python", "task-both"
TOOLS: dict[str, tuple[ToolSpec, ...]] = {PYTHON_TASK: (PYTHON,), BOTH_TASK: (PYTHON, LOOKUP)}


def call(number: int, name: str, arguments: str) -> ToolCall:
    return ToolCall(id=f"call_{number}", name=name, arguments=arguments)


def conversation(key: str, task_key: str, *calls: ToolCall, final: str = "42") -> Attempt:
    """Question, an assistant turn without content for each call, its result, and an answer that is a number."""
    messages = [Message(role=Role.USER, content='{"a": 1}')]
    for asked in calls:
        messages.append(Message(role=Role.ASSISTANT, tool_calls=(asked,)))
        messages.append(Message(role=Role.TOOL, content="null", tool_call_id=asked.id, name=asked.name))
    messages.append(Message(role=Role.ASSISTANT, content=final))
    return attempt(key, task_key).model_copy(update={"messages": tuple(messages)})


def simulated_user(key: str) -> Attempt:
    """A user who calls a tool of its own, which no agent sees."""
    row = conversation(key, PYTHON_TASK, call(1, "python", CODE))
    hidden = (
        Message(role=Role.USER, tool_calls=(call(9, "phone", "{}"),)),
        Message(role=Role.TOOL, content="secret", tool_call_id="call_9", requestor=Role.USER),
    )
    return row.model_copy(update={"messages": (*row.messages[:1], *hidden, *row.messages[1:])})


PLAIN = conversation("b-plain", PYTHON_TASK, call(1, "python", CODE))
BOTH = conversation(
    "c-both", BOTH_TASK, call(1, "python", '{"code": "1", "mixed": [1, "2", null]}'), call(2, "lookup", '{"page": "x"}')
)
NO_CALL = conversation("d-no-call", PYTHON_TASK)
GAP = conversation("d-null-in-a-list", PYTHON_TASK, call(1, "python", '{"code": "1", "list": [1, null]}'))
FLOAT = conversation("d-int-and-float", PYTHON_TASK, call(1, "python", '{"code": "1", "list": [1, 2.5]}'))
USER = simulated_user("e-user")
NAMELESS = conversation("f-nameless", PYTHON_TASK, call(1, "", "python(6*7"))
A_LIST = conversation("g-list", PYTHON_TASK, call(1, "python", "[1]"))
NOT_JSON = conversation("h-nan", PYTHON_TASK, call(1, "python", '{"x": NaN}'))
ATTEMPTS = [NOT_JSON, USER, GAP, FLOAT, A_LIST, BOTH, PLAIN, NAMELESS, NO_CALL]
BROKEN = {"f-nameless", "g-list", "h-nan"}


def arguments(row: Attempt) -> list[object]:
    """What the calls of the agent were given."""
    return [json.loads(c.arguments) for m in row.messages if m.role is Role.ASSISTANT for c in m.tool_calls]


def task(number: int, tools: tuple[ToolSpec, ...], answer: str | None) -> Task:
    return Task.create(
        messages=(Message(role=Role.SYSTEM, content="Be brief."), Message(role=Role.USER, content=f"{number}?")),
        tools=tools,
        verifier=VerifierRef(name="math", reference=answer) if answer else None,
        source="made",
        source_id=str(number),
        domain="sums",
        licence="MIT",
        split=Split.TRAIN,
    )


TASKS = [task(1, (PYTHON,), "42"), task(2, (PYTHON, LOOKUP), "007"), task(3, (), "1/2"), task(4, (PYTHON,), None)]
