"""Numbers of a run, one line of JSON a step in `metrics.jsonl`: the record. Trackers are told beside it."""

import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from data_contracts.storage import write_bytes
from trainer.trackers import Kind, Tracking
from trainer.trackers.tracker import TrackedRun

FILE = "metrics.jsonl"


def read_metrics(folder: Path) -> list[dict[str, float | None]]:
    """The lines of a run, oldest first; a last line that was cut by a kill is left out."""
    path = folder / FILE
    if not path.is_file():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


class Metrics:
    """Writes one fixed set of keys a step; None is "not measured".

    Opening it at step s drops the lines of s and later, which a killed run may have left: each step stands there once.
    """

    def __init__(self, folder: Path, keys: tuple[str, ...], step: int, trackers: Sequence[Kind] = ()) -> None:
        self._keys = keys
        kept = [line for line in read_metrics(folder) if (line["step"] or 0) < step]
        write_bytes(folder / FILE, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file = (folder / FILE).open("a")
        run = TrackedRun(folder, step)
        self._trackers = [Tracking(kind.value, partial(kind.open, run)) for kind in trackers]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        for tracker in self._trackers:
            tracker.close()

    def log(self, step: int, figures: Mapping[str, float | None]) -> None:
        """Write the figures of one step. Raises AssertionError for a missing or surplus key."""
        assert set(figures) == set(self._keys), set(figures) ^ set(self._keys)
        line = {"step": step, **{key: _json_number(figures[key]) for key in self._keys}}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        measured = {key: value for key in self._keys if (value := line[key]) is not None}
        for tracker in self._trackers:
            tracker.log(step, measured)

    def sync(self) -> None:
        """Make the lines so far survive a crash of the machine."""
        os.fsync(self._file.fileno())


def _json_number(value: float | None) -> float | None:
    """JSON has no infinities: a number that is not finite is written as not measured; counters say that it happened."""
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return None
    return round(value, 8) if isinstance(value, float) else value
