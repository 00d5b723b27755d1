"""What a tracker does."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class TrackedRun:
    """Which run the figures are of, and the first step that is yet to come: later ones that a tracker holds are of a
    process that was killed."""

    folder: Path
    first_step: int

    @property
    def name(self) -> str:
        """The folder's name, which a resumed run shares."""
        return self.folder.resolve().name


PROJECT = "toolpath"


class Tracker(Protocol):
    """Takes the measured figures of each step, in order. Made in the thread that it is used in; may raise anything."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """The figures of one step."""
        ...

    def finish(self) -> None:
        """No more steps come."""
        ...
