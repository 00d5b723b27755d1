"""Data parallelism: every rank takes its share of the work, and all make the same update (of the whole model, or each of its
share of it: trainer.sharding).

Law: every rank calls the same collectives in the same order. So none stands in a branch on what only one rank knows; what
decides a branch (figures, clocks, files) is brought together first.
"""

import ctypes
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

BUCKET_BYTES = 2**28
"""Gradients that travel at a time."""
TIMEOUT = timedelta(hours=2)
"""Longest wait for a rank that samples long attempts. One that has died ends the run at once."""
_SET_PARENT_DEATH_SIGNAL = 1
CPU = torch.device("cpu")

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes that train together. Alone (size 1), it shares nothing and waits for nobody.

    Example, rank 1 of 2: `share("abcde")` is `["b", "d"]`, and `gather` of every rank's share is `list("abcde")`.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def is_first(self) -> bool:
        """Whether this rank writes files and tells of progress."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """This rank's items: every size-th one."""
        return list(items[self.rank :: self.size])

    def everyone(self, value: T) -> list[T]:
        """The value of every rank, by rank."""
        if self.size == 1:
            return [value]
        values: list[T] = [value] * self.size
        dist.all_gather_object(values, value)
        return values

    def barrier(self) -> None:
        """Wait until every rank is here."""
        self.everyone(None)

    def first(self, value: T) -> T:
        """What the first rank says."""
        return self.everyone(value)[0]

    def gather(self, objects: Sequence[T]) -> list[T]:
        """The results of all shares, in the order of the items that were shared."""
        parts = self.everyone(list(objects))
        return [parts[i % self.size][i // self.size] for i in range(sum(map(len, parts)))]

    def sum_figures(self, *figures: float) -> list[float]:
        """Each figure, summed over the ranks in their order: the same bits everywhere."""
        return [sum(column) for column in zip(*self.everyone(figures), strict=True)]

    def sum_gradients(self, model: nn.Module) -> None:
        """Replace every gradient by its sum over the ranks; a missing one counts as zeros. Those of a sharded model are
        sums already."""
        if self.size == 1 or isinstance(model, FSDPModule):
            return
        for params in _buckets(p for p in model.parameters() if p.requires_grad):
            flat = torch.cat([_gradient(p).flatten() for p in params])
            dist.all_reduce(flat)
            for p, summed in zip(params, torch.split(flat, [p.numel() for p in params]), strict=True):
                p.grad = summed.view_as(p)


ALONE = World()
"""One process on the CPU."""


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _buckets(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Neighbours together, up to BUCKET_BYTES; a larger one alone."""
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        if bucket and sum(p.nbytes for p in bucket) + parameter.nbytes > BUCKET_BYTES:
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket


def device_for(num_gpus: int, num_seen: int, size: int, local_rank: int) -> torch.device:
    """Where a rank trains. Raises ValueError for too few GPUs, and for a number of processes that is not `num_gpus`."""
    needed = max(num_gpus, size) if num_seen else num_gpus
    if needed > num_seen:
        raise ValueError(
            f"num_gpus {needed}, but this process sees {num_seen}: set num_gpus to {num_seen}, or free a device"
        )
    if num_gpus > 1 and size != num_gpus:
        raise ValueError(
            f"num_gpus {num_gpus} needs as many processes, one per GPU, but {size} started: call `python -m "
            f"torch.distributed.run --standalone --nproc-per-node {num_gpus} -m trainer ...` with the same words"
        )
    return torch.device("cuda", local_rank) if num_seen else CPU


@contextmanager
def joined(num_gpus: int) -> Iterator[World]:
    """The world that torchrun's environment describes; without it, this process alone. Errors as in `device_for`."""
    rank, size, local_rank = (int(os.environ.get(k, v)) for k, v in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    device = device_for(num_gpus, torch.cuda.device_count(), size, local_rank)
    if size == 1:
        yield World(device=device)
        return
    _die_with_parent()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # Gradients go over NCCL; objects over gloo, which keeps them out of the GPU's memory.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    yield World(rank, size, device)
    dist.destroy_process_group()  # not after an error: the others may wait inside a collective, and torchrun ends them


def _die_with_parent() -> None:
    """torchrun starts ranks in sessions of their own: without this they would outlive it when it is killed with -9."""
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
