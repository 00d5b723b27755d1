"""A tracker at arm's length: whatever it does, training neither ends nor waits for it."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from queue import Full, Queue
from threading import Thread

from trainer.trackers.tracker import Tracker

LOG = logging.getLogger(__name__)
MAX_WAITING = 1000
"""Steps that wait for a slow tracker; further ones are lost to it, and counted."""
CLOSING_S = 120.0
"""How long the end of a run waits for a tracker."""


class Tracking:
    """Hands steps to a tracker in a thread of its own. The first failure is told with its cause, all are counted.

    The thread is a daemon: one that hangs in a dead server does not keep the process alive.
    """

    def __init__(self, name: str, open_tracker: Callable[[], Tracker], closing_s: float = CLOSING_S) -> None:
        self.name, self._open, self._closing_s = name, open_tracker, closing_s
        self.num_lost = 0
        """Steps that the tracker did not take."""
        self._tracker: Tracker | None = None
        self._steps = Queue[tuple[int, Mapping[str, float]] | None](MAX_WAITING)
        self._thread = Thread(target=self._work, name=f"tracker-{name}", daemon=True)
        self._thread.start()

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Hand over the figures of a step; returns at once."""
        try:
            self._steps.put_nowait((step, figures))
        except Full:
            self.num_lost += 1

    def close(self) -> None:
        """Wait a little for what is left, and say what was lost."""
        try:
            self._steps.put_nowait(None)
            self._thread.join(self._closing_s)
        except Full:
            pass  # it hangs: what waits is lost
        lost = self.num_lost + sum(step is not None for step in list(self._steps.queue))
        if lost or self._thread.is_alive():
            LOG.warning(
                "tracker %s did not take %d steps%s; metrics.jsonl of the run has all of them",
                self.name, lost, " and is still busy" if self._thread.is_alive() else "",
            )  # fmt: skip

    def _work(self) -> None:
        while (item := self._steps.get()) is not None:
            self._guarded(partial(self._take, *item))
        if self._tracker is not None:
            self._guarded(self._tracker.finish)

    def _take(self, step: int, figures: Mapping[str, float]) -> None:
        self._tracker = self._tracker or self._open()
        self._tracker.log(step, figures)

    def _guarded(self, action: Callable[[], None]) -> None:
        """The one place where whatever a tracker's package raises is caught."""
        try:
            action()
        except Exception:
            if not self.num_lost:
                LOG.warning("tracker %s failed; training goes on", self.name, exc_info=True)
            self.num_lost += 1
