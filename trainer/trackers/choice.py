"""Which trackers a run has."""

import os
from collections.abc import Callable, Sequence
from enum import StrEnum
from importlib.util import find_spec

from trainer.trackers.mlflow import MlflowTracker
from trainer.trackers.tensorboard import TensorBoardTracker
from trainer.trackers.tracker import TrackedRun, Tracker
from trainer.trackers.trackio import TrackioTracker
from trainer.trackers.wandb import WandbTracker

VARIABLE = "TOOLPATH_TRACKERS"
"""Names with commas between them, for runs whose recipe says nothing."""


class Kind(StrEnum):
    """A tracker, under the name of its package and of the extra that installs it."""

    TENSORBOARD = "tensorboard"
    WANDB = "wandb"
    TRACKIO = "trackio"
    MLFLOW = "mlflow"

    @property
    def is_installed(self) -> bool:
        """Whether its package can be imported here."""
        return find_spec(self.value) is not None

    def open(self, run: TrackedRun) -> Tracker:
        """Start tracking a run."""
        return _OPEN[self](run)


_OPEN: dict[Kind, Callable[[TrackedRun], Tracker]] = {
    Kind.TENSORBOARD: TensorBoardTracker,
    Kind.WANDB: WandbTracker,
    Kind.TRACKIO: TrackioTracker,
    Kind.MLFLOW: MlflowTracker,
}


def chosen(named: Sequence[Kind] | None) -> tuple[Kind, ...]:
    """The trackers that a recipe names, else those of TOOLPATH_TRACKERS, else TensorBoard where it is installed.

    Raises ValueError for an unknown name, and for a named one whose package is not installed.
    """
    kinds = _of_environment() if named is None else tuple(named)
    if kinds is None:
        return (Kind.TENSORBOARD,) if Kind.TENSORBOARD.is_installed else ()
    missing = [kind.value for kind in kinds if not kind.is_installed]
    if missing:
        raise ValueError(
            f"trackers {', '.join(missing)}: not installed for this interpreter; install the extra (pip install "
            f"'toolpath[{','.join(missing)}]'), or leave them out"
        )
    return kinds


def _of_environment() -> tuple[Kind, ...] | None:
    text = os.environ.get(VARIABLE)
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = sorted(set(names) - {kind.value for kind in Kind})
    if unknown:
        raise ValueError(f"{VARIABLE}={text!r} names {', '.join(unknown)}: use any of {', '.join(Kind)}")
    return tuple(Kind(name) for name in names)
