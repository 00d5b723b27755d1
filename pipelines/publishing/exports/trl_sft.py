"""TRL's SFTTrainer, rendered by a chat template: `messages` + `tools` (trl 1.16, datasets 5)."""

from collections.abc import Sequence

import pyarrow as pa

from pipelines.publishing.exports.conversation import PROVENANCE, Conversation
from pipelines.publishing.exports.export import TRAIN, Export, table_of
from pipelines.publishing.trajectories import conversation_columns, conversation_row, tool_texts

_TEXT = pa.string()


def trl_sft(conversations: Sequence[Conversation]) -> Export:
    """Calls and tools are `arrow.json`, which `datasets` gives back as objects: arguments are an object, as templates want
    them, without the null fields that a struct would add. Content is text."""
    rows = [c.provenance | conversation_row(c.messages, tool_texts(c.tools)) for c in conversations]
    return Export({TRAIN: table_of(rows, _columns(_TEXT)).cast(pa.schema(list(_columns(pa.json_(_TEXT)).items())))})


def _columns(json_type: pa.DataType) -> dict[str, pa.DataType]:
    return dict.fromkeys(PROVENANCE, _TEXT) | conversation_columns(json_type)
