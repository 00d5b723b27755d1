"""Weights & Biases: offline in `<run>/wandb` (send it later by `wandb sync`) unless WANDB_MODE says otherwise."""

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from trainer.trackers.tracker import PROJECT, TrackedRun


class WandbTracker:
    """One run of wandb under the name of ours. A resumed run's steps that wandb holds already keep their first values."""

    def __init__(self, run: TrackedRun) -> None:
        wandb: Any = import_module("wandb")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.name,
            id=run.name,
            dir=str(run.folder),
            resume="allow",
            mode=os.environ.get("WANDB_MODE", "offline"),
            settings=wandb.Settings(console="off", silent=True),
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """All figures of a step together."""
        self._run.log(dict(figures), step=step)

    def finish(self) -> None:
        """Write or send what is left."""
        self._run.finish()
