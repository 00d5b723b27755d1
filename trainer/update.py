"""The policy update of one RL step: clipped-surrogate steps on mini-batches of scored attempts."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from trainer.aggregation import weights
from trainer.anchor import anchored, shaped
from trainer.correction import Correction
from trainer.divergence import kl_estimates
from trainer.learner import Learner
from trainer.losses import PolicyLoss
from trainer.packing import evened
from trainer.prefixes import split_together
from trainer.recipe import RlRecipe
from trainer.scoring import RlPack, Scored, to_pack
from trainer.shaping import After, EntropyOf, Shaping, shape
from trainer.surrogate import surrogate_stats


@dataclass
class Tally:
    """Sums over the trained tokens of a step, from which means and shares are made."""

    loss: float = 0.0
    tokens: int = 0
    trained: int = 0
    entropy: float = 0.0
    later: int = 0
    """Trained tokens after tool execution."""
    later_entropy: float = 0.0
    gated: int = 0
    """Trained tokens with an entropy bonus."""
    gated_entropy: float = 0.0
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
    """Sum of importance weights over trained tokens."""
    correction_squares: float = 0.0
    correction_bounded: int = 0
    """Tokens whose weight is the bound, or that were dropped."""
    reference_kl: float = 0.0
    """Sum of the estimate of KL(policy || reference)."""
    norms: list[float] | None = None
    updates: int = 0
    nonfinite: int = 0


def update(learner: Learner, scored: Scored, recipe: RlRecipe, lr: float, seed: int) -> Tally:
    """One optimizer step per mini-batch. A mini-batch that is wholly masked makes no step; its loss is zero."""
    tally, loss, world = Tally(norms=[]), recipe.loss, learner.world
    minibatches = [_micros(scored, part, recipe) for part in minibatch_members(scored, recipe, seed)]
    tally.tokens = sum(micro.num_tokens for micros in minibatches for micro in micros)
    minibatches = [evened(micros, world.size) for micros in minibatches]
    shares = [[micro.to(learner.device) for micro in world.share(micros)] for micros in minibatches]
    if recipe.looks_first:
        shares = [
            _anchored(learner, whole, mine, recipe, tally) for whole, mine in zip(minibatches, shares, strict=True)
        ]
    for number, (whole, micros) in enumerate(zip(minibatches, shares, strict=True)):
        if number and recipe.entropy_bonus and recipe.entropy_bonus.entropy_of is EntropyOf.CURRENT:
            micros = _with_current_entropy(learner, whole, micros, recipe)
        for pack in micros:
            first_look = number == 0 and not recipe.looks_first
            _accumulate(learner, pack, recipe, loss, tally, first_look)
        world.sum_gradients(learner.model)
        if whole:
            _step(learner, lr, tally)
    return merged(world.everyone(tally))


def _anchored(
    learner: Learner, whole: list[RlPack], mine: list[RlPack], recipe: RlRecipe, tally: Tally
) -> list[RlPack]:
    """A mini-batch as the policy before the step's first update sees it."""
    found = []
    for micro in mine:
        pack, old_T = anchored(learner, micro, recipe)
        _note_gap(tally, old_T, micro)
        _note_correction(tally, pack, recipe)
        found.append(pack)
    return shaped(learner, whole, found, recipe)


@torch.no_grad()
def _with_current_entropy(learner: Learner, whole: list[RlPack], mine: list[RlPack], recipe: RlRecipe) -> list[RlPack]:
    found = [replace(m, entropy_T=learner.logprobs(m, recipe.sampling.temperature)[1]) for m in mine]
    return shaped(learner, whole, found, recipe)


ALIKE, LARGEST = {"tokens", "norms", "updates", "nonfinite"}, {"max_ratio", "max_gap"}
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


def _micros(scored: Scored, members: Sequence[int], recipe: RlRecipe) -> list[RlPack]:
    """The micro-batches of a mini-batch, weighted over all of it; none where it is wholly masked."""
    pack = to_pack(scored, members, recipe.entropy_bonus.after if recipe.entropy_bonus else After.ANY_CALL)
    if pack is None or not bool(pack.trained_T.any()):
        return []
    weights_T = weights(recipe.aggregation, pack.trained_T, pack.sequence_ids_T, recipe.constant_tokens)
    pack, budget = replace(pack, weights_T=weights_T), recipe.tokens_per_microbatch
    return split_together(pack, budget) if recipe.share_prefixes else pack.split(budget)


def _note_gap(tally: Tally, logprobs_T: Tensor, pack: RlPack) -> None:
    gap = (logprobs_T.detach() - pack.logprobs_T)[pack.trained_T].abs()
    tally.gap += float(gap.sum())
    tally.max_gap = max(tally.max_gap, float(gap.max()) if len(gap) else 0.0)
    tally.gap_tokens += len(gap)


def _note_correction(tally: Tally, pack: RlPack, recipe: RlRecipe) -> None:
    if recipe.correction is Correction.NONE:
        return
    weights_S = pack.corrections_T[pack.trained_T]
    bound = recipe.correction_bound if recipe.correction in (Correction.TIS, Correction.SEQUENCE_TIS) else None
    tally.correction += float(weights_S.sum())
    tally.correction_squares += float((weights_S**2).sum())
    tally.correction_bounded += int(((weights_S == 0) | (weights_S == bound if bound else weights_S < 0)).sum())


def _accumulate(
    learner: Learner, pack: RlPack, recipe: RlRecipe, loss: PolicyLoss, tally: Tally, first_look: bool
) -> None:
    """Add the gradient of one micro-batch."""
    logprobs_T, entropy_T = learner.logprobs(pack, recipe.sampling.temperature)
    advantages_T = pack.advantages_T
    if recipe.entropy_bonus is not None:
        shaping = Shaping(pack.gate_T, pack.entropy_T, pack.mean_T, pack.std_T)
        advantages_T = shape(recipe.entropy_bonus, shaping, advantages_T, entropy_T)
    total = loss(
        logprobs_T,
        pack.logprobs_T,
        advantages_T,
        pack.weights_T,
        pack.trained_T,
        pack.sequence_ids_T,
        corrections_T=pack.corrections_T,
        reference_logprobs_T=pack.reference_T,
        entropy_T=entropy_T,
    )
    torch.autograd.backward(total)
    if first_look:
        _note_gap(tally, logprobs_T, pack)
    tally.loss += float(total.detach())
    _note(tally, pack, logprobs_T.detach(), entropy_T.detach(), loss)


@torch.no_grad()
def _note(tally: Tally, pack: RlPack, logprobs_T: Tensor, entropy_T: Tensor, loss: PolicyLoss) -> None:
    log_ratio_T = loss.log_ratios(logprobs_T, pack.logprobs_T, pack.trained_T, pack.sequence_ids_T)
    stats = surrogate_stats(log_ratio_T, pack.advantages_T, pack.trained_T, loss.clip)
    later_T, gated_T = pack.trained_T & pack.after_tool_T, pack.trained_T & pack.gate_T
    tally.trained += stats.num_tokens
    tally.entropy += float(entropy_T.sum())
    tally.later += int(later_T.sum())
    tally.later_entropy += float(entropy_T[later_T].sum())
    tally.gated += int(gated_T.sum())
    tally.gated_entropy += float(entropy_T[gated_T].sum())
    tally.clipped_high += stats.clipped_high
    tally.clipped_low += stats.clipped_low
    tally.clipped_dual += stats.clipped_dual
    tally.kl += stats.kl
    tally.max_ratio = max(tally.max_ratio, stats.max_ratio)
    if loss.kl_coefficient:
        estimates_T = kl_estimates(loss.kl_estimator, logprobs_T, pack.reference_T)
        tally.reference_kl += float(estimates_T[pack.trained_T].sum())


def _step(learner: Learner, lr: float, tally: Tally) -> None:
    norm, finite = learner.apply(lr)
    assert tally.norms is not None
    tally.norms.append(norm)
    tally.updates += finite
    tally.nonfinite += not finite
