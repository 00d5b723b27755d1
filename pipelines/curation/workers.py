"""Work on shards in processes of their own, within a limit of memory, with a word on how far it is."""

import gc
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from typing import TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from pipelines.curation.shards import Shard

PROCESS_BYTES = 350 << 20
"""Of a process before its first row: interpreter, libraries, the evaluation index."""
DECODED = 3
"""Times the decoded bytes of a shard that work on it may hold."""
THREADS = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")

J = TypeVar("J")
T = TypeVar("T")


class ScaleRecipe(BaseModel):
    """The recipe table [scale]: how much of the machine curation takes. It changes no result.

    Example:
        ScaleRecipe(num_processes=2, memory_bytes=6 << 30)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_processes: int = Field(default=1, ge=1)
    """1: no process besides the caller's."""
    memory_bytes: int = Field(default=6 << 30, ge=1)
    """Of all processes together; fewer processes are started where they would not fit."""
    max_quarantined: float = Field(default=0.01, ge=0, le=1)
    """Share of rows that may break their contract; beyond it the stage stops."""

    def processes_for(self, shards: Sequence[Shard], bytes_per_row: int) -> int:
        """How many processes fit beside a caller that holds `bytes_per_row` of every row.

        Raises ValueError where not even one does.
        """
        held = PROCESS_BYTES + bytes_per_row * sum(shard.num_rows for shard in shards)
        each = PROCESS_BYTES + DECODED * max((shard.num_bytes for shard in shards), default=0)
        fitting = (self.memory_bytes - held) // each
        if fitting < 1:
            raise ValueError(
                f"[scale] memory_bytes={self.memory_bytes:,}, but these rows need {held + each:,} at least: allow more, or "
                "curate fewer rows"
            )
        return min(self.num_processes, fitting)


@dataclass
class Workers:
    """Processes that are handed one job after the other.

    Example:
        with workers(2, print) as pool:
            sizes = list(pool.map("measure", len, [b"a", b"bc"]))
    """

    pool: ProcessPoolExecutor | None
    num_processes: int
    say: Callable[[str], None]

    def map(self, stage: str, function: Callable[[J], T], jobs: Sequence[J]) -> Iterator[T]:
        """The function's results in the order of the jobs. Only a few results wait at a time."""
        start, results = time.monotonic(), self._results(function, jobs)
        for done, result in enumerate(results, 1):
            yield result
            left = (time.monotonic() - start) / done * (len(jobs) - done)
            self.say(f"{stage}: shard {done:,} of {len(jobs):,}, about {left:,.0f} s left")

    def _results(self, function: Callable[[J], T], jobs: Sequence[J]) -> Iterator[T]:
        if self.pool is None:
            yield from map(function, jobs)
            return
        waiting: deque[Future[T]] = deque()
        for job in jobs:
            waiting.append(self.pool.submit(function, job))
            if len(waiting) > 2 * self.num_processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def workers(num_processes: int, say: Callable[[str], None]) -> Iterator[Workers]:
    """So many processes, ended at the end; 1: the caller's own."""
    if num_processes == 1:
        yield Workers(None, 1, say)
        return
    pool = ProcessPoolExecutor(num_processes, get_context("spawn"), _start)
    try:
        yield Workers(pool, num_processes, say)
    finally:
        pool.shutdown(cancel_futures=True)


def _start() -> None:
    """One thread a process; records, which hold no cycles, are not searched for them time and again. A process ends with
    the one that started it, also where that one was killed and could tell nobody."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(dict.fromkeys(THREADS, "1"))
    pa.set_cpu_count(1)
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
