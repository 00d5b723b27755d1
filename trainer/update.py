"""The policy update of one RL step: clipped-surrogate steps on mini-batches of scored attempts."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from trainer.learner import Learner
from trainer.losses import AGGREGATIONS, Clip, grpo_loss, surrogate_stats, truncated_importance_weights
from trainer.packing import Pack
from trainer.recipe import RlRecipe
from trainer.scoring import Scored, to_pack


@dataclass
class Tally:
    """Sums over the trained tokens of a step, from which means and shares are made."""

    loss: float = 0.0
    tokens: int = 0
    trained: int = 0
    entropy: float = 0.0
    later: int = 0
    """Trained tokens after the first turn, which is after tool execution."""
    later_entropy: float = 0.0
    clipped_high: int = 0
    clipped_low: int = 0
    clipped_dual: int = 0
    kl: float = 0.0
    max_ratio: float = 0.0
    gap: float = 0.0
    """Sum of |trainer - sampler| log-probability before the first update."""
    max_gap: float = 0.0
    gap_tokens: int = 0
    correction: float = 0.0
    correction_capped: int = 0
    norms: list[float] | None = None
    updates: int = 0
    nonfinite: int = 0


def update(learner: Learner, scored: Scored, recipe: RlRecipe, lr: float, seed: int) -> Tally:
    """One optimizer step per mini-batch. A mini-batch that is wholly masked makes no step; its loss is zero."""
    tally = Tally(norms=[])
    world = learner.world
    minibatches = [_micros(scored, part, recipe) for part in minibatch_members(scored, recipe, seed)]
    shares = [[micro.to(learner.device) for micro in world.share(micros)] for micros in minibatches]
    if recipe.recompute_logprobs:
        shares = [[_anchored(learner, micro, recipe, tally) for micro in micros] for micros in shares]
    for number, (whole, micros) in enumerate(zip(minibatches, shares, strict=True)):
        for pack in micros:
            first_look = number == 0 and not recipe.recompute_logprobs
            _accumulate(learner, pack, recipe, tally, first_look)
        world.sum_gradients(learner.model)
        if whole:
            _step(learner, lr, tally)
    return merged(world.everyone(tally))


ALIKE, LARGEST = {"norms", "updates", "nonfinite"}, {"max_ratio", "max_gap"}
"""Fields of a tally that every rank finds alike, and those of which the largest counts; all others are summed."""


def merged(tallies: Sequence[Tally]) -> Tally:
    """The tally of all ranks, from each one's."""
    names = {field.name for field in fields(Tally)} - ALIKE
    values = {name: [getattr(tally, name) for tally in tallies] for name in names}
    return replace(tallies[0], **{name: max(v) if name in LARGEST else sum(v) for name, v in values.items()})


def minibatch_members(scored: Scored, recipe: RlRecipe, seed: int) -> list[list[int]]:
    """Attempts per mini-batch: whole groups, dealt in a seeded order."""
    groups = sorted(set(scored.groups_B))
    order = np.random.default_rng(seed).permutation(len(groups))
    parts = np.array_split(order, recipe.num_minibatches)
    chosen = [{groups[i] for i in part} for part in parts]
    return [[i for i, group in enumerate(scored.groups_B) if group in part] for part in chosen]


def _micros(scored: Scored, members: Sequence[int], recipe: RlRecipe) -> list[Pack]:
    """The micro-batches of a mini-batch, weighted over all of it; none where it is wholly masked."""
    pack = to_pack(scored, members)
    if pack is None or not bool(pack.trained_T.any()):
        return []
    pack = replace(pack, weights_T=AGGREGATIONS[recipe.aggregation](pack.trained_T, pack.sequence_ids_T))
    return pack.split(recipe.tokens_per_microbatch)


@torch.no_grad()
def _anchored(learner: Learner, pack: Pack, recipe: RlRecipe, tally: Tally) -> Pack:
    """The pack with the trainer's own old log-probabilities, its weights corrected for the sampler's where asked."""
    old_T, _ = learner.logprobs(pack, recipe.sampling.temperature)
    _note_gap(tally, old_T, pack)
    if recipe.tis_cap is None:
        return replace(pack, logprobs_T=old_T)
    weights_T = truncated_importance_weights(old_T, pack.logprobs_T, recipe.tis_cap)
    tally.correction += float(weights_T[pack.trained_T].sum())
    tally.correction_capped += int((weights_T[pack.trained_T] >= recipe.tis_cap).sum())
    return replace(pack, logprobs_T=old_T, weights_T=pack.weights_T * weights_T)


def _note_gap(tally: Tally, logprobs_T: Tensor, pack: Pack) -> None:
    gap = (logprobs_T.detach() - pack.logprobs_T)[pack.trained_T].abs()
    tally.gap += float(gap.sum())
    tally.max_gap = max(tally.max_gap, float(gap.max()) if len(gap) else 0.0)
    tally.gap_tokens += len(gap)


def _accumulate(learner: Learner, pack: Pack, recipe: RlRecipe, tally: Tally, first_look: bool) -> None:
    """Add the gradient of one micro-batch."""
    clip = Clip(recipe.clip_low, recipe.clip_high, recipe.dual_clip)
    logprobs_T, entropy_T = learner.logprobs(pack, recipe.sampling.temperature)
    loss = grpo_loss(logprobs_T, pack.logprobs_T, pack.advantages_T, pack.weights_T, clip)
    torch.autograd.backward(loss)
    if first_look:
        _note_gap(tally, logprobs_T, pack)
    _note(tally, pack, logprobs_T.detach(), entropy_T, float(loss.detach()), clip)


def _note(tally: Tally, pack: Pack, logprobs_T: Tensor, entropy_T: Tensor, loss: float, clip: Clip) -> None:
    stats = surrogate_stats(logprobs_T, pack.logprobs_T, pack.advantages_T, pack.trained_T, clip)
    later_T = pack.trained_T & (pack.turns_T > 0)
    tally.loss += loss
    tally.tokens += pack.num_tokens
    tally.trained += stats.num_tokens
    tally.entropy += float(entropy_T.sum())
    tally.later += int(later_T.sum())
    tally.later_entropy += float(entropy_T[later_T].sum())
    tally.clipped_high += stats.clipped_high
    tally.clipped_low += stats.clipped_low
    tally.clipped_dual += stats.clipped_dual
    tally.kl += stats.kl
    tally.max_ratio = max(tally.max_ratio, stats.max_ratio)


def _step(learner: Learner, lr: float, tally: Tally) -> None:
    norm, finite = learner.apply(lr)
    assert tally.norms is not None
    tally.norms.append(norm)
    tally.updates += finite
    tally.nonfinite += not finite
