"""TRL's SFTTrainer, or any trainer of Hugging Face, on tokens as they are: `input_ids` + `labels`."""

import numpy as np
import pyarrow as pa

from pipelines.publishing.exports.export import TRAIN, Export

UNTRAINED = -100
"""The label of a token without loss, in torch's cross-entropy and all that is built on it."""


def tokens(rows: pa.Table) -> Export:
    """Token rows (the contract `token_row`) in the order of their keys. Ids are untouched, so the reader trains on what
    our trainer trains on; `labels` stand under their own token and are shifted by the reader's model."""
    rows = rows.sort_by("key").combine_chunks()
    ids, trained = _list(rows, "tokens_T"), _list(rows, "trained_T")
    flat = ids.flatten().to_numpy(zero_copy_only=False)
    marked = np.where(trained.flatten().to_numpy(zero_copy_only=False), flat, UNTRAINED).astype(np.int32)
    labels = pa.ListArray.from_arrays(_offsets(ids), pa.array(marked))
    kept = rows.select(["key", "task_key", "policy", "source", "licence", "tokenizer_id"])
    return Export({TRAIN: kept.append_column("input_ids", ids).append_column("labels", labels)})


def _list(rows: pa.Table, name: str) -> pa.ListArray:
    column = rows.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _offsets(lists: pa.ListArray) -> pa.Array:
    """Offsets that begin at 0, as `flatten` does, whatever slice the array is."""
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
