"""GRPO-TCR: reinforcement learning on groups of attempts with real tools (arXiv 2510.11701; DAPO, arXiv 2503.14476)."""

import time
from collections.abc import Sequence
from pathlib import Path

from data_contracts.tasks import Task
from rollout.agent import derived_seed
from trainer import rl_metrics
from trainer.checkpoints import Position, restore_state
from trainer.collection import Source, collect
from trainer.journal import journal
from trainer.learner import Learner
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
    position = restore_state(folder, learner.model, learner.optimizer, learner.world)
    with journal("rl", rl_metrics.KEYS, SHOWN, folder, recipe, learner, position) as note:
        plan_end(position, recipe)
        while not is_finished(position, recipe):
            figures = train_step(learner, source, tasks, recipe, position, seed, folder)
            plan_end(position, recipe)
            note(figures)
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
    collected = collect(source, tasks, recipe, position, seed, folder, learner.world)
    sampled = time.process_time()
    scored = score(collected.used, recipe, derived_seed(seed, "shuffle", position.step))
    learner.model.train()
    tally = update(learner, scored, recipe, lr, derived_seed(seed, "minibatches", position.step))
    position.step += 1
    position.policy_version += tally.updates
    position.nonfinite_steps += tally.nonfinite
    cpu_seconds, sampling_cpu_seconds = learner.world.sum_figures(time.process_time() - started, sampled - started)
    position.cpu_seconds += cpu_seconds
    return {
        **rl_metrics.task_figures(collected),
        **rl_metrics.attempt_figures(collected),
        **rl_metrics.reward_figures(scored),
        **rl_metrics.filter_figures(scored, recipe),
        **rl_metrics.update_figures(tally),
        "lr": lr,
        "nonfinite_steps": position.nonfinite_steps,
        "policy_version": position.policy_version,
        "cpu_seconds": position.cpu_seconds,
        "sampling_cpu_seconds": sampling_cpu_seconds,
    }
