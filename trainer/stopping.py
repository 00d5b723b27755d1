"""When a run ends: a number of steps, a plateau of held-out accuracy, or a budget of process time. Pure."""

from collections.abc import Sequence

from trainer.checkpoints import Position
from trainer.optim import Schedule, lr_factor
from trainer.recipe import SftRecipe, TrainRecipe


def has_plateaued(accuracies: Sequence[tuple[int, float]], tolerance: float, patience: int, min_steps: int) -> bool:
    """Whether the last `patience` evaluations all failed to beat the best one before them by more than `tolerance`.

    Example, tolerance .01, patience 2: .30, .60, .605, .60 has; .30, .60, .605, .62 has not.
    """
    if len(accuracies) <= patience or accuracies[-1][0] < min_steps:
        return False
    values = [accuracy for _, accuracy in accuracies]
    return max(values[-patience:]) <= max(values[:-patience]) + tolerance


def plan_end(position: Position, recipe: TrainRecipe) -> None:
    """Begin the cooldown where max_steps or the budget of process time leaves no room for more than it."""
    if position.cooldown_start is None and _must_cool_down(position, recipe):
        position.cooldown_start = position.step


def plan_end_at_plateau(position: Position, recipe: SftRecipe) -> None:
    """`plan_end`, and also where held-out accuracy has stopped growing."""
    reached = recipe.eval_every and has_plateaued(
        position.accuracies, recipe.plateau_tolerance, recipe.plateau_patience, recipe.min_steps
    )
    if position.cooldown_start is None and reached:
        position.cooldown_start = position.step
    plan_end(position, recipe)


def _must_cool_down(position: Position, recipe: TrainRecipe) -> bool:
    if position.step >= recipe.max_steps - recipe.cooldown_steps:
        return True
    if recipe.max_seconds_cpu is None or position.step == 0:
        return False
    per_step = position.cpu_seconds / position.step
    return position.cpu_seconds + recipe.cooldown_steps * per_step >= recipe.max_seconds_cpu


def is_finished(position: Position, recipe: TrainRecipe) -> bool:
    """Whether no step is left to do."""
    if position.step >= recipe.max_steps:
        return True
    return position.cooldown_start is not None and position.step >= position.cooldown_start + recipe.cooldown_steps


def current_lr(position: Position, recipe: TrainRecipe) -> float:
    """Learning rate of the next step."""
    return recipe.lr * lr_factor(
        Schedule(recipe.schedule),
        position.step,
        warmup_steps=recipe.warmup_steps,
        total_steps=recipe.max_steps,
        cooldown_start=position.cooldown_start,
        cooldown_steps=recipe.cooldown_steps,
        min_ratio=recipe.min_lr_ratio,
    )
