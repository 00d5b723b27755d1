"""Named tensors to a folder and back, by torch's distributed checkpoint.

Each rank writes and reads its own share of a sharded tensor, so what any number of ranks wrote, any number can read.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import TensorStorageMetadata


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], alone: bool) -> None:
    """Write them; the ranks of a run call it together. `alone`: this process asks no other. Raises OSError."""
    with _plain_errors():
        dcp.save(dict(tensors), storage_writer=dcp.FileSystemWriter(folder), no_dist=alone)


def read_tensors(folder: Path, tensors: Mapping[str, Tensor], alone: bool) -> None:
    """Fill the tensors with what is stored under their names. Raises ValueError where names or shapes differ."""
    reader = dcp.FileSystemReader(folder)
    _check(folder, stored_shapes(reader), {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    with _plain_errors():
        dcp.load(dict(tensors), storage_reader=reader, no_dist=alone)


def stored_shapes(reader: dcp.FileSystemReader) -> dict[str, tuple[int, ...]]:
    """Shape of each whole tensor."""
    stored = reader.read_metadata().state_dict_metadata
    return {name: tuple(entry.size) for name, entry in stored.items() if isinstance(entry, TensorStorageMetadata)}


def _check(folder: Path, stored: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]) -> None:
    for name in sorted(stored.keys() | wanted.keys()):
        if stored.get(name) != wanted.get(name):
            raise ValueError(
                f"{folder} is the state of another model or optimizer: {name} has shape {stored.get(name, 'none')} there and "
                f"{wanted.get(name, 'none')} here; go on with the recipe and checkpoint that it was made with, or choose "
                "another output folder"
            )


@contextmanager
def _plain_errors() -> Iterator[None]:
    """The error of the first rank that failed, in place of torch's list of all; no word about a single process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        try:
            yield
        except CheckpointException as failed:
            first, _ = failed.failures[min(failed.failures)]
            raise first from failed
