"""Named tensors to a folder and back, by torch's distributed checkpoint.

Each rank writes and reads its own share of a sharded tensor, so what any number of ranks wrote, any number can read.
"""

import errno
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], alone: bool) -> None:
    """Write them; the ranks of a run call it together. `alone`: this process asks no other. Raises OSError for a full disk."""
    try:
        with _plain_errors():
            save(dict(tensors), storage_writer=FileSystemWriter(folder), no_dist=alone)
    except RuntimeError as error:  # what torch's archive writer makes of a write that failed
        if shutil.disk_usage(folder).free > sum(tensor.nbytes for tensor in tensors.values()):
            raise
        raise OSError(errno.ENOSPC, f"{folder} cannot be written") from error


def read_tensors(folder: Path, tensors: Mapping[str, Tensor], alone: bool) -> None:
    """Fill the tensors with what is stored under their names. Raises ValueError where names or shapes differ."""
    reader = FileSystemReader(folder)
    _check(folder, stored_shapes(reader), {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    with _plain_errors():
        load(dict(tensors), storage_reader=reader, no_dist=alone)


def stored_shapes(reader: FileSystemReader) -> dict[str, tuple[int, ...]]:
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
