"""verl's MultiTurnSFTDataset: `messages` + `tools` as Parquet structs (verl 0.9)."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.publishing.exports.conversation import PROVENANCE, Conversation, arguments_of
from pipelines.publishing.exports.export import Export
from pipelines.publishing.trajectories import content_of

BROKEN = (
    "its tools or calls differ in their fields or types: a Parquet struct would change them (a null for each field of the "
    "others), and the model would read that"
)


def verl_sft(conversations: Sequence[Conversation]) -> Export:
    """One file a shape of tools and arguments; verl takes a list of files and joins them after reading.

    verl hands structs to the chat template as they are, and a struct of Parquet has every field of every row in its file.
    A row whose own tools or calls differ in their fields fits into no file, and is left out; so is one whose values change.
    """
    by_shape: dict[str, list[pa.Table]] = {}
    left_out = {}
    for conversation in conversations:
        row = _row(conversation)
        table = _exact(row)
        if table is None:
            left_out[conversation.attempt.key] = BROKEN
        else:
            by_shape.setdefault(str(table.schema), []).append(table)
    files = {f"train-{i:05d}": pa.concat_tables(by_shape[shape]) for i, shape in enumerate(sorted(by_shape))}
    return Export(files, left_out)


def _exact(row: dict[str, Any]) -> pa.Table | None:
    """The row as a table, if verl's reader gives back what was written, to the letter of its JSON: it joins files by way of
    numpy, which turns [1, null] into [1.0, nan]. An object without fields cannot be written at all."""
    try:
        table = pa.Table.from_pylist([row])
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # one field, several types
        return None
    read = {name: _plain(values[0]) for name, values in table.to_pandas().items()}
    return table if json.dumps(read) == json.dumps(row) and not _has_empty_struct(table.schema) else None


def _plain(value: Any) -> Any:
    """Arrays as lists, all the way down."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | list):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _has_empty_struct(fields: pa.Schema | pa.DataType) -> bool:
    """Whether Parquet would refuse the type."""
    types = [field.type for field in fields]
    return any(
        (pa.types.is_struct(kind) and (kind.num_fields == 0 or _has_empty_struct(kind)))
        or (pa.types.is_list(kind) and _has_empty_struct(pa.struct([("item", kind.value_type)])))
        for kind in types
    )


def _row(conversation: Conversation) -> dict[str, Any]:
    """The row; fields that no message of it uses are left out, the others stand in every message."""
    messages = conversation.messages
    rows: list[dict[str, Any]] = [{"role": m.role.value, "content": content_of(m)} for m in messages]
    if any(message.tool_calls for message in messages):
        for row, message in zip(rows, messages, strict=True):
            row["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": arguments_of(c)}}
                for c in message.tool_calls
            ] or None
    tools = {"tools": [tool.to_openai() for tool in conversation.tools]} if conversation.tools else {}
    return {name: conversation.provenance[name] for name in PROVENANCE} | {"messages": rows} | tools
