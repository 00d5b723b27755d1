"""What a run leaves of each step: a line of figures, a line of progress, a state now and then."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rollout.progress import Progress
from trainer.alarms import AlarmError, ringing
from trainer.checkpoints import Position, save_state
from trainer.distributed import World
from trainer.learner import Learner
from trainer.metrics import Metrics, read_metrics
from trainer.recipe import TrainRecipe
from trainer.trackers import chosen

Figures = Mapping[str, float | None]


@contextmanager
def journal(
    label: str,
    keys: tuple[str, ...],
    shown: tuple[str, ...],
    folder: Path,
    recipe: TrainRecipe,
    learner: Learner,
    position: Position,
) -> Iterator[Callable[[Figures], None]]:
    """Gives the function that takes the figures of the step that `position` has just passed. `shown` are those in the line
    of progress. An alarm of the recipe ends the run. The first rank writes; all save the state together, and know the same
    figures, so that an alarm rings on all."""
    world = learner.world
    with _pages(label, keys, shown, folder, recipe, world, position) as write:
        recent = deque[Figures](world.first(read_metrics(folder)), recipe.alarms.patience)

        def note(figures: Figures) -> None:
            recent.append(figures)
            complaint = ringing(recipe.alarms, list(recent))
            saves = complaint is not None or position.step % recipe.save_every == 0
            write(figures, saves)
            if saves:
                save_state(folder, position, learner.model, learner.optimizer, recipe.keep_states, world)
            if complaint is not None:
                raise AlarmError(
                    f"alarm at step {position.step}: {complaint}. The last state and metrics.jsonl are kept in {folder}; "
                    "change the recipe, or this bound in its `alarms`, and start again"
                )

        yield note
    world.barrier()


@contextmanager
def _pages(
    label: str,
    keys: tuple[str, ...],
    shown: tuple[str, ...],
    folder: Path,
    recipe: TrainRecipe,
    world: World,
    position: Position,
) -> Iterator[Callable[[Figures, bool], None]]:
    """What takes figures, and whether they must be on disk before it returns: to the files and the terminal, on the first
    rank."""
    if not world.is_first:
        yield lambda figures, lasting: None
        return
    with (
        Metrics(folder, keys, position.step, chosen(recipe.trackers)) as metrics,
        Progress(label, total=recipe.max_steps, done=position.step) as progress,
    ):

        def write(figures: Figures, lasting: bool) -> None:
            metrics.log(position.step - 1, figures)
            progress.update(1, **{key: value for key in shown if (value := figures[key]) is not None})
            if lasting:
                metrics.sync()

        yield write
