"""TensorBoard: files in `<run>/tensorboard`, read by `tensorboard --logdir`."""

from collections.abc import Mapping

from trainer.trackers.tracker import TrackedRun


class TensorBoardTracker:
    """Writes event files; a resumed run hides the steps that it makes again."""

    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run.folder / "tensorboard"), purge_step=run.first_step)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """A scalar per figure."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def finish(self) -> None:
        """Flush and close."""
        self._writer.close()
