"""Attempts as trajectories in the form that trainers read: `messages` + `tools`, with provenance on every row.

Message content is always a plain string. What has a shape of its own (calls, tools) is JSON, which the `datasets` library
gives back as objects whose numbers and strings stay what they were.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from data_contracts.attempts import Attempt
from data_contracts.ids import canonical_json
from data_contracts.messages import Message, ToolCall
from data_contracts.tools import ToolSpec

Tools = Mapping[str, Sequence[str]]
"""By the key of a task: its tools as `tool_texts`."""
Decided = tuple[str | None, str | None, str | None]
"""Verdict, reason and filter version of a decision."""
UNDECIDED: Decided = (None, None, None)

_TEXT = pa.string()


def conversation_columns(json_type: pa.DataType) -> dict[str, pa.DataType]:
    """`messages` and `tools`; `json_type` is how JSON is stored (text while building, arrow.json on disk)."""
    message = pa.struct(
        [
            ("role", _TEXT),
            ("content", _TEXT),
            ("tool_calls", pa.list_(json_type)),
            ("tool_call_id", _TEXT),
            ("name", _TEXT),
        ]
    )
    return {"messages": pa.list_(message), "tools": pa.list_(json_type)}


def conversation_row(messages: Sequence[Message], tools: Sequence[str]) -> dict[str, Any]:
    """The values of `conversation_columns`, JSON as text; tools: as `tool_texts`."""
    return {"messages": [message_row(message, _call) for message in messages], "tools": list(tools)}


def schema(json_type: pa.DataType) -> pa.Schema:
    """The columns of a trajectory; `json_type` as for `conversation_columns`."""
    columns = {
        "key": _TEXT,
        "task_key": _TEXT,
        **conversation_columns(json_type),
        "outcome": _TEXT,
        "stop": _TEXT,
        "rewards": json_type,
        "num_calls": pa.int32(),
        "num_failed_calls": pa.int32(),
        "policy": _TEXT,
        "policy_kind": _TEXT,
        "origin": _TEXT,
        "repeat_kind": _TEXT,
        "verdict": _TEXT,
        "reason": _TEXT,
        "filter_version": _TEXT,
        "domain": _TEXT,
        "source": _TEXT,
        "source_ref": _TEXT,
        "licence": _TEXT,
    }
    return pa.schema(list(columns.items()))


def trajectory_table(attempts: Iterable[Attempt], tools: Tools, decided: Mapping[str, Decided]) -> pa.Table:
    """Attempts as a table. tools: by the key of the task; decided: by the key of the attempt, what let it through."""
    rows = [_row(a, tools.get(a.task_key, ()), decided.get(a.key, UNDECIDED)) for a in attempts]
    return pa.Table.from_pylist(rows, schema=schema(_TEXT)).cast(schema(pa.json_(_TEXT)))


def tool_texts(tools: Iterable[ToolSpec]) -> tuple[str, ...]:
    """Declared tools as they are published."""
    return tuple(json.dumps(tool.to_openai(), ensure_ascii=False) for tool in tools)


def _row(attempt: Attempt, tools: Sequence[str], decided: Decided) -> dict[str, Any]:
    calls, (verdict, reason, filter_version) = attempt.calls(), decided
    return {
        "key": attempt.key,
        "task_key": attempt.task_key,
        **conversation_row(attempt.messages, tools),
        "outcome": attempt.outcome.value,
        "stop": attempt.stop.value,
        "rewards": canonical_json({part.name: part.value for part in attempt.rewards}),
        "num_calls": len(calls),
        "num_failed_calls": sum(call.status.value != "ok" for call in calls),
        "policy": attempt.policy.id,
        "policy_kind": attempt.policy.kind.value,
        "origin": attempt.origin.value,
        "repeat_kind": attempt.repeat_kind.value,
        "verdict": verdict,
        "reason": reason,
        "filter_version": filter_version,
        "domain": attempt.domain,
        "source": attempt.source,
        "source_ref": attempt.source_ref,
        "licence": attempt.licence,
    }


def content_of(message: Message) -> str:
    """The text, with the thoughts before it between the markers that Qwen3's template parts them by."""
    thoughts = f"<think>\n{message.reasoning}\n</think>\n\n" if message.reasoning else ""
    return thoughts + message.content


def message_row(message: Message, call_row: Callable[[ToolCall], Any]) -> dict[str, Any]:
    """The message as readers of chats have it, its calls as `call_row` gives them."""
    return {
        "role": message.role.value,
        "content": content_of(message),
        "tool_calls": [call_row(call) for call in message.tool_calls] or None,
        "tool_call_id": message.tool_call_id,
        "name": message.name,
    }


def _call(call: ToolCall) -> str:
    """The call as JSON; arguments that are no JSON (a malformed call in a log) stay the text that they were."""
    try:
        arguments = json.loads(call.arguments)
    except json.JSONDecodeError:
        arguments = call.arguments
    function = {"name": call.name, "arguments": arguments}
    return json.dumps({"id": call.id, "type": "function", "function": function}, ensure_ascii=False)
