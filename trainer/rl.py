"""GRPO-TCR: reinforcement learning on groups of attempts with real tools (arXiv 2510.11701; DAPO, arXiv 2503.14476)."""

import time
from collections.abc import Sequence
from pathlib import Path

from data_contracts.tasks import Task
from rollout.agent import derived_seed
from rollout.progress import Progress
from trainer import rl_metrics
from trainer.checkpoints import Position, restore_state, save_state
from trainer.collection import Source, collect
from trainer.learner import Learner
from trainer.metrics import Metrics
from trainer.recipe import RlRecipe
from trainer.scoring import score
from trainer.stopping import current_lr, is_finished, plan_end
from trainer.update import update

SHOWN = ("accuracy", "reward", "tasks_used", "entropy")
"""Figures in the line of progress."""


def train(
    learner: Learner, source: Source, tasks: Sequence[Task], recipe: RlRecipe, seed: int, folder: Path
) -> Position:
    """Train to the end, from wherever the folder's state stands; returns the final position.

    Killed anywhere and started again, it ends with the same weights, bit for bit on CPU, and samples no stored attempt
    again.
    """
    position = restore_state(folder, learner.model, learner.optimizer)
    with (
        Metrics(folder, rl_metrics.KEYS, position.step) as metrics,
        Progress("rl", total=recipe.max_steps, done=position.step) as progress,
    ):
        plan_end(position, recipe)
        while not is_finished(position, recipe):
            figures = train_step(learner, source, tasks, recipe, position, seed, folder)
            plan_end(position, recipe)
            metrics.log(position.step - 1, figures)
            progress.update(1, **{key: value for key in SHOWN if (value := figures[key]) is not None})
            if position.step % recipe.save_every == 0:
                metrics.sync()
                save_state(folder, position, learner.model, learner.optimizer, recipe.keep_states)
    return position


def train_step(
    learner: Learner,
    source: Source,
    tasks: Sequence[Task],
    recipe: RlRecipe,
    position: Position,
    seed: int,
    folder: Path,
) -> rl_metrics.Figures:
    """Sample, score, update. Advances `position` and returns the step's figures."""
    started = time.process_time()
    lr = current_lr(position, recipe)
    collected = collect(source, tasks, recipe, position, seed, folder)
    sampled = time.process_time()
    scored = score(collected.used, recipe, derived_seed(seed, "shuffle", position.step))
    learner.model.train()
    tally = update(learner, scored, recipe, lr, derived_seed(seed, "minibatches", position.step))
    position.step += 1
    position.policy_version += tally.updates
    position.nonfinite_steps += tally.nonfinite
    position.cpu_seconds += time.process_time() - started
    return {
        **rl_metrics.task_figures(collected),
        **rl_metrics.attempt_figures(collected),
        **rl_metrics.reward_figures(scored),
        **rl_metrics.update_figures(tally),
        "lr": lr,
        "nonfinite_steps": position.nonfinite_steps,
        "policy_version": position.policy_version,
        "cpu_seconds": position.cpu_seconds,
        "sampling_cpu_seconds": sampled - started,
    }
