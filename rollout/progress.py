"""Progress of long work: one line on stderr at most every few seconds, with rate and time left; Dagster Pipes gets it too."""

import importlib
import os
import sys
import time
from types import TracebackType
from typing import Any, Self

PERIOD_S = 5.0
MIN_SHARE = 0.02
"""Share of the work that must be done, in this process, before its rate says anything about the time left."""


def _pipes() -> Any | None:
    """The Pipes session of the Dagster run that started this process, if one did and the package is installed."""
    if "DAGSTER_PIPES_CONTEXT" not in os.environ:
        return None
    try:
        package = importlib.import_module("dagster_pipes")
    except ModuleNotFoundError:
        return None
    return package.open_dagster_pipes()


class Progress:
    """Counts units of work and prints how far it is.

    Example:
        with Progress("sft", total=480) as progress:
            progress.update(1, loss=2.31)
    """

    _session: Any | None = None
    _session_opened = False

    def __init__(self, label: str, total: int, done: int = 0, unit: str = "steps") -> None:
        self.label, self.total, self.done, self.unit = label, total, done, unit
        self._start_done = done
        self._start = self._last_print = time.monotonic()
        self._printed = -1
        self._figures: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._print()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.done != self._printed:
            self._print()

    def update(self, amount: int = 1, **figures: float) -> None:
        """Count `amount` units; `figures` are shown beside (the latest value of each)."""
        self.done += amount
        self._figures |= figures
        if time.monotonic() - self._last_print >= PERIOD_S:
            self._print()

    def skip(self, amount: int) -> None:
        """Count units that are there already: done, but by an earlier process."""
        self.done += amount
        self._start_done += amount

    def line(self) -> str:
        """The line as it would be printed now."""
        seconds = time.monotonic() - self._start
        made = self.done - self._start_done
        rate = made / seconds if seconds > 0 else 0.0
        tells = made >= MIN_SHARE * self.total and rate > 0 and self.done < self.total
        left = f"{(self.total - self.done) / rate:.0f} s left" if tells else ""
        figures = " ".join(f"{name}={value:.4g}" for name, value in self._figures.items())
        parts = [f"[{self.label}] {self.done}/{self.total} {self.unit}", f"{rate:.3g}/s" if rate else "", left, figures]
        return "  ".join(part for part in parts if part)

    def _print(self) -> None:
        self._last_print, self._printed = time.monotonic(), self.done
        line = self.line()
        print(line, file=sys.stderr, flush=True)
        if not Progress._session_opened:
            Progress._session_opened, Progress._session = True, _pipes()
        if Progress._session is not None:
            Progress._session.log.info(line)
