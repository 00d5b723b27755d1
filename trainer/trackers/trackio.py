"""Trackio: a local database (TRACKIO_DIR), shown by `trackio show --project toolpath`."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from trainer.trackers.tracker import PROJECT, TrackedRun


class TrackioTracker:
    """One run of trackio under the name of ours."""

    def __init__(self, run: TrackedRun) -> None:
        trackio: Any = import_module("trackio")
        self._run = trackio.init(
            project=PROJECT, name=run.name, resume="allow", embed=False, auto_log_cpu=False, auto_log_gpu=False
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """All figures of a step together."""
        self._run.log(dict(figures), step=step)

    def finish(self) -> None:
        """Write what is left."""
        self._run.finish()
