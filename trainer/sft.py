"""Supervised fine-tuning on packed token rows."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from trainer.aggregation import weights
from trainer.checkpoints import Position, restore_state
from trainer.journal import journal
from trainer.learner import Learner
from trainer.losses import sft_loss
from trainer.packing import Pack, draw, evened
from trainer.recipe import SftRecipe
from trainer.stopping import current_lr, is_finished, plan_end_at_plateau

KEYS = (
    "loss",
    "entropy",
    "lr",
    "gradient_norm",
    "rows",
    "tokens",
    "trained_tokens",
    "nonfinite_steps",
    "accuracy",
    "cpu_seconds",
)
"""What is logged every step. `entropy` is the mean over trained tokens; `accuracy` only where it was measured."""
SHOWN = ("loss", "accuracy")
"""Figures in the line of progress."""

Accuracy = Callable[[int], float]
"""Held-out accuracy of the model as it is now, given the step (which seeds the samples)."""


def train(
    learner: Learner, rows: Pack, recipe: SftRecipe, seed: int, folder: Path, accuracy: Accuracy | None = None
) -> Position:
    """Train to the end, from wherever the folder's state stands; returns the final position.

    Killed anywhere and started again, it ends with the same weights, bit for bit on CPU.
    """
    if recipe.eval_every and accuracy is None:
        raise ValueError(
            f"eval_every {recipe.eval_every} needs held-out tasks: add --eval_tasks FOLDER, or set eval_every = 0"
        )
    position = restore_state(folder, learner.model, learner.optimizer, learner.world)
    learner.model.train()
    with journal("sft", KEYS, SHOWN, folder, recipe, learner, position) as note:
        plan_end_at_plateau(position, recipe)
        while not is_finished(position, recipe):
            started = time.process_time()
            batch = next_batch(rows, position, recipe, seed)
            figures = train_step(learner, batch, current_lr(position, recipe), recipe.tokens_per_microbatch)
            (cpu_seconds,) = learner.world.sum_figures(time.process_time() - started)
            _advance(position, figures, batch, cpu_seconds)
            if accuracy is not None and recipe.eval_every and position.step % recipe.eval_every == 0:
                position.accuracies.append((position.step, accuracy(position.step)))
                figures["accuracy"] = position.accuracies[-1][1]
            plan_end_at_plateau(position, recipe)
            note(_logged(figures, position))
    return position


def next_batch(rows: Pack, position: Position, recipe: SftRecipe, seed: int) -> Pack:
    """The next `batch_size` rows of the seeded stream, weighted for the loss."""
    chosen = draw(rows.num_sequences, position.drawn, recipe.batch_size, seed)
    batch = rows.take(torch.tensor(chosen))
    weights_T = weights(recipe.aggregation, batch.trained_T, batch.sequence_ids_T, recipe.constant_tokens)
    return replace(batch, weights_T=weights_T)


def train_step(learner: Learner, batch: Pack, lr: float, tokens_per_microbatch: int) -> dict[str, float | None]:
    """One optimizer step on a batch; the micro-batches' gradients add up to the batch's, over all ranks."""
    loss = entropy = 0.0
    for micro in learner.world.share(evened(batch.split(tokens_per_microbatch), learner.world.size)):
        pack = micro.to(learner.device)
        logprobs_T, entropy_T = learner.logprobs(pack)
        part = sft_loss(logprobs_T, pack.weights_T)
        torch.autograd.backward(part)
        loss += float(part.detach())
        entropy += float(entropy_T.detach().sum())
    learner.world.sum_gradients(learner.model)
    loss, entropy = learner.world.sum_figures(loss, entropy)
    norm, finite = learner.apply(lr)
    trained = int(batch.trained_T.sum())
    return {
        "loss": loss,
        "entropy": entropy / max(trained, 1),
        "lr": lr,
        "gradient_norm": norm,
        "rows": batch.num_sequences,
        "tokens": batch.num_tokens,
        "trained_tokens": trained,
        "accuracy": None,
        "finite": float(finite),
    }


def _advance(position: Position, figures: dict[str, float | None], batch: Pack, cpu_seconds: float) -> None:
    finite = bool(figures.pop("finite"))
    position.step += 1
    position.drawn += batch.num_sequences
    position.policy_version += finite
    position.nonfinite_steps += not finite
    position.cpu_seconds += cpu_seconds


def _logged(figures: dict[str, float | None], position: Position) -> dict[str, float | None]:
    return {**figures, "nonfinite_steps": position.nonfinite_steps, "cpu_seconds": position.cpu_seconds}
