"""Losses on flat packed tensors. Pure: no model, no device, no state.

Every loss is a sum of weight x token loss. How tokens are averaged is decided once, by the weights of the whole batch
(`token_mean_weights`, `sequence_mean_weights`), so that micro-batches add up to the batch exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

MAX_LOG_RATIO = 20.0
"""exp(20) = 4.9e8: an infinite ratio becomes a large, clipped one."""


class Aggregation(StrEnum):
    """How token losses become one number."""

    TOKEN_MEAN = "token_mean"
    """Every trained token of the batch counts the same (DAPO, arXiv 2503.14476; GRPO-T)."""
    SEQUENCE_MEAN = "sequence_mean"
    """Every sequence counts the same, its tokens share its weight (the original GRPO, arXiv 2402.03300)."""


def token_mean_weights(trained_T: Tensor, sequence_ids_T: Tensor) -> Tensor:
    """1 / number of trained tokens for each of them; all zero where nothing is trained."""
    return trained_T.float() / trained_T.sum().clamp(min=1)


def sequence_mean_weights(trained_T: Tensor, sequence_ids_T: Tensor) -> Tensor:
    """1 / (sequences with trained tokens x trained tokens of the token's own sequence)."""
    if not bool(trained_T.any()):
        return trained_T.float()
    trained_N = torch.zeros(int(sequence_ids_T.max()) + 1).index_add(0, sequence_ids_T, trained_T.float())
    return trained_T / (trained_N.clamp(min=1)[sequence_ids_T] * (trained_N > 0).sum())


AGGREGATIONS: dict[Aggregation, Callable[[Tensor, Tensor], Tensor]] = {
    Aggregation.TOKEN_MEAN: token_mean_weights,
    Aggregation.SEQUENCE_MEAN: sequence_mean_weights,
}


def sft_loss(logprobs_T: Tensor, weights_T: Tensor) -> Tensor:
    """Cross-entropy: the weighted sum of negative log-probabilities."""
    return -(weights_T * logprobs_T).sum()


@dataclass(frozen=True)
class Clip:
    """Bounds of the ratio. `dual` bounds the loss of tokens with a negative advantage (arXiv 1912.09729); > 1."""

    low: float
    high: float
    dual: float


@dataclass(frozen=True)
class SurrogateStats:
    """Sums over the trained tokens of one micro-batch; divide by `num_tokens` of the batch."""

    num_tokens: int
    clipped_high: int
    clipped_low: int
    clipped_dual: int
    kl: float
    """Sum of the k3 estimate of KL(old || new): ratio - 1 - log ratio."""
    max_ratio: float


def log_ratio(logprobs_T: Tensor, old_logprobs_T: Tensor) -> Tensor:
    """new - old, clamped to +-20."""
    return (logprobs_T - old_logprobs_T).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def grpo_token_losses(logprobs_T: Tensor, old_logprobs_T: Tensor, advantages_T: Tensor, clip: Clip) -> Tensor:
    """The clipped surrogate per token, negated: -min(r A, clip(r, 1 - low, 1 + high) A), for A < 0 at most -dual A.

    Source: PPO (arXiv 1707.06347, eq. 7) with clip-higher (arXiv 2503.14476, eq. 10) and dual clip (arXiv 1912.09729, eq. 5).
    """
    ratio_T = log_ratio(logprobs_T, old_logprobs_T).exp()
    bounded_T = ratio_T.clamp(1 - clip.low, 1 + clip.high)
    losses_T = torch.maximum(-advantages_T * ratio_T, -advantages_T * bounded_T)
    return torch.where(advantages_T < 0, torch.minimum(losses_T, -advantages_T * clip.dual), losses_T)


def grpo_loss(
    logprobs_T: Tensor, old_logprobs_T: Tensor, advantages_T: Tensor, weights_T: Tensor, clip: Clip
) -> Tensor:
    """Weighted sum of `grpo_token_losses`. An importance correction, where there is one, is part of the weights."""
    return (weights_T * grpo_token_losses(logprobs_T, old_logprobs_T, advantages_T, clip)).sum()


def truncated_importance_weights(old_logprobs_T: Tensor, behaviour_logprobs_T: Tensor, cap: float) -> Tensor:
    """min(pi_trainer_old / pi_sampler, cap), detached (TIS): corrects a sampler whose numbers differ from the trainer's."""
    return log_ratio(old_logprobs_T, behaviour_logprobs_T).exp().clamp(max=cap).detach()


@torch.no_grad()
def surrogate_stats(
    logprobs_T: Tensor, old_logprobs_T: Tensor, advantages_T: Tensor, trained_T: Tensor, clip: Clip
) -> SurrogateStats:
    """What the clipping did, over trained tokens."""
    logs, advantages = log_ratio(logprobs_T, old_logprobs_T)[trained_T], advantages_T[trained_T]
    ratios = logs.exp()
    return SurrogateStats(
        num_tokens=len(ratios),
        clipped_high=int(((ratios > 1 + clip.high) & (advantages > 0)).sum()),
        clipped_low=int(((ratios < 1 - clip.low) & (advantages < 0)).sum()),
        clipped_dual=int(((ratios > clip.dual) & (advantages < 0)).sum()),
        kl=float((ratios - 1 - logs).sum()),
        max_ratio=float(ratios.max()) if len(ratios) else 0.0,
    )
