"""prime-rl's SFT trainer, which reads with datasets 4: `messages` + `tools` without `arrow.json`."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from data_contracts.messages import ToolCall
from pipelines.publishing.exports.conversation import PROVENANCE, Conversation
from pipelines.publishing.exports.export import TRAIN, Export, table_of
from pipelines.publishing.trajectories import message_row

_TEXT = pa.string()
_CALL = pa.struct(
    [("id", _TEXT), ("type", _TEXT), ("function", pa.struct([("name", _TEXT), ("arguments", _TEXT)]))],
)
_MESSAGE = pa.struct(
    [("role", _TEXT), ("content", _TEXT), ("tool_calls", pa.list_(_CALL)), ("tool_call_id", _TEXT), ("name", _TEXT)]
)


def prime_sft(conversations: Sequence[Conversation]) -> Export:
    """`tools` is the JSON text of a list and arguments are JSON text, verbatim: the reader parses both, and drops the null
    fields of messages."""
    rows = [
        c.provenance
        | {
            "messages": [message_row(message, _call) for message in c.messages],
            "tools": json.dumps([tool.to_openai() for tool in c.tools], ensure_ascii=False),
        }
        for c in conversations
    ]
    return Export(
        {TRAIN: table_of(rows, dict.fromkeys(PROVENANCE, _TEXT) | {"messages": pa.list_(_MESSAGE), "tools": _TEXT})}
    )


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
