"""Log-probability of a token and entropy of its distribution, from hidden states and the output head's weight.

Logits are never there at once, forward or backward: a tile of tokens x vocabulary at a time is computed, folded into a
running log-sum-exp (arXiv 1805.02867), and computed again for the gradient.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tile:
    """Logits held at a time, in two buffers: the logits and what is made of them.

    Example:
        Tile(tokens=1024, vocabulary=4096)  # 16 MiB each in float32
    """

    tokens: int
    vocabulary: int


TILES = {"cpu": Tile(tokens=1024, vocabulary=4096), "cuda": Tile(tokens=4096, vocabulary=16384)}
"""By device: what stays in the cache, or keeps a GPU busy (256 MiB each)."""


def head_logprobs(
    hidden_SH: Tensor, weight_VH: Tensor, targets_S: Tensor, temperature: float | Tensor, tile: Tile | None = None
) -> tuple[Tensor, Tensor]:
    """log softmax(hidden @ weight.T / temperature) at the targets, and the entropy of that softmax: (S,), nats, at least
    float32, both differentiable.

    temperature: one for all, or (S,) one per token. tile: None takes the device's. Under autocast products are of its type,
    and all sums float32; the weight is cast tile by tile, never as a whole.
    """
    sharpness = 1.0 / torch.as_tensor(temperature, device=hidden_SH.device).to(_sum_type(hidden_SH))
    apply: Callable[..., tuple[Tensor, Tensor]] = _HeadLogprobs.apply
    tile = tile or TILES[hidden_SH.device.type]
    return apply(hidden_SH, weight_VH, targets_S, sharpness.expand(len(targets_S)), tile)


class _HeadLogprobs(torch.autograd.Function):
    """With z = logits / temperature and p their softmax: d log p_y / dz_v = 1[v = y] - p_v, dH / dz_v = -p_v (log p_v + H).

    The temperature divides the hidden states, which are fewer than the logits.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_SH: Tensor, weight_VH: Tensor, targets_S: Tensor, sharpness_S: Tensor, tile: Tile
    ) -> tuple[Tensor, Tensor]:
        ctx.tile, ctx.dtype = tile, _product_type(hidden_SH)
        softmax = _Softmax(sharpness_S)
        scaled_SH = (hidden_SH * sharpness_S[:, None]).to(ctx.dtype)
        for part in _parts(scaled_SH, weight_VH, targets_S, tile, sharpness_S.dtype):
            softmax.add(part)
        logprobs_S, norms_S, entropy_S = softmax.results()
        ctx.save_for_backward(hidden_SH, weight_VH, targets_S, sharpness_S, norms_S, entropy_S)
        ctx.set_materialize_grads(False)
        return logprobs_S, entropy_S

    @staticmethod
    def backward(
        ctx: Any, grad_S: Tensor | None, entropy_grad_S: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        hidden_SH, weight_VH, targets_S, sharpness_S, norms_S, entropy_S = ctx.saved_tensors
        hidden_wanted, weight_wanted, *_ = ctx.needs_input_grad
        grad_hidden_SH = torch.zeros_like(hidden_SH, dtype=norms_S.dtype)
        grad_weight_VH = torch.zeros_like(weight_VH, dtype=norms_S.dtype) if weight_wanted else None
        scaled_SH = (hidden_SH * sharpness_S[:, None]).to(ctx.dtype)
        for part in _parts(scaled_SH, weight_VH, targets_S, ctx.tile, norms_S.dtype):
            of = part.tokens
            entropy_grad_C = None if entropy_grad_S is None else entropy_grad_S[of]
            grad_C = torch.zeros_like(norms_S[of]) if grad_S is None else grad_S[of]
            slopes_CW = _slopes(part, norms_S[of], entropy_S[of], grad_C, entropy_grad_C).to(ctx.dtype)
            if hidden_wanted:
                _multiply(slopes_CW, part.weight_WH, grad_hidden_SH[of], beta=1)
            if grad_weight_VH is not None:
                _multiply(slopes_CW.T, part.hidden_CH, grad_weight_VH[part.vocabulary], beta=1)
        grad_hidden_SH = grad_hidden_SH.mul_(sharpness_S[:, None]).to(hidden_SH.dtype)
        return grad_hidden_SH, None if grad_weight_VH is None else grad_weight_VH.to(weight_VH.dtype), None, None, None


@dataclass(frozen=True)
class _Part:
    """One tile: C tokens, W tokens of the vocabulary."""

    tokens: slice
    vocabulary: slice
    hidden_CH: Tensor
    weight_WH: Tensor
    logits_CW: Tensor
    spare_CW: Tensor
    """Memory of the same size."""
    columns_C1: Tensor
    """Each token's target, where it is `inside_C`; elsewhere any column."""
    inside_C: Tensor


def _parts(scaled_SH: Tensor, weight_VH: Tensor, targets_S: Tensor, tile: Tile, dtype: torch.dtype) -> Iterator[_Part]:
    """All tiles; the next overwrites the last. The vocabulary changes slowly, so that its part of the weight stays at hand."""
    size = min(tile.tokens, len(scaled_SH)) * min(tile.vocabulary, len(weight_VH))
    logits, spare = torch.empty((2, size), dtype=dtype, device=scaled_SH.device)
    for vocabulary in _slices(len(weight_VH), tile.vocabulary):
        weight_WH = weight_VH[vocabulary].to(scaled_SH.dtype)
        for tokens in _slices(len(scaled_SH), tile.tokens):
            hidden_CH, columns_C = scaled_SH[tokens], targets_S[tokens] - vocabulary.start
            shape = len(hidden_CH), len(weight_WH)
            logits_CW, spare_CW = (memory[: shape[0] * shape[1]].view(shape) for memory in (logits, spare))
            _multiply(hidden_CH, weight_WH.T, logits_CW)
            inside_C = (columns_C >= 0) & (columns_C < len(weight_WH))
            columns_C1 = (columns_C * inside_C)[:, None]
            yield _Part(tokens, vocabulary, hidden_CH, weight_WH, logits_CW, spare_CW, columns_C1, inside_C)


class _Softmax:
    """S distributions whose logits z come tile by tile: the largest m so far, the sums of exp(z - m) and of
    exp(z - m) (z - m), and the target's z."""

    def __init__(self, like_S: Tensor) -> None:
        self._largest_S = torch.full_like(like_S, -torch.inf)
        self._mass_S, self._moment_S, self._chosen_S = like_S.new_zeros((3, len(like_S)))

    def add(self, part: _Part) -> None:
        """Fold in a tile, whose memory is overwritten."""
        largest_C, mass_C, moment_C = (x[part.tokens] for x in (self._largest_S, self._mass_S, self._moment_S))
        self._chosen_S[part.tokens] += part.logits_CW.gather(1, part.columns_C1).squeeze(1) * part.inside_C
        new_C = torch.maximum(largest_C, part.logits_CW.amax(-1))
        fall_C = (largest_C - new_C).nan_to_num(neginf=0.0)  # the first tile's: nothing is there yet that could fall
        distances_CW = part.logits_CW.sub_(new_C[:, None])
        masses_CW = torch.exp(distances_CW, out=part.spare_CW)
        moment_C.addcmul_(mass_C, fall_C).mul_(fall_C.exp())
        mass_C.mul_(fall_C.exp()).add_(masses_CW.sum(-1))
        moment_C.add_(masses_CW.mul_(distances_CW).sum(-1))
        largest_C.copy_(new_C)

    def results(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities of the targets, log-normalisers, entropies."""
        log_mass_S = self._mass_S.log()
        norms_S = self._largest_S + log_mass_S
        return self._chosen_S - norms_S, norms_S, log_mass_S - self._moment_S / self._mass_S


def _slopes(part: _Part, norms_C: Tensor, entropy_C: Tensor, grad_C: Tensor, entropy_grad_C: Tensor | None) -> Tensor:
    """Gradient by z: g 1[v = y] - p_v (g + g_H (log p_v + H)). The tile's memory is overwritten."""
    logs_CW = part.logits_CW.sub_(norms_C[:, None])
    probs_CW = torch.exp(logs_CW, out=part.spare_CW)
    factor_CW = -grad_C[:, None]
    if entropy_grad_C is not None:
        factor_CW = logs_CW.mul_(-entropy_grad_C[:, None]).sub_((grad_C + entropy_grad_C * entropy_C)[:, None])
    return probs_CW.mul_(factor_CW).scatter_add_(1, part.columns_C1, (grad_C * part.inside_C)[:, None])


def _product_type(hidden_SH: Tensor) -> torch.dtype:
    device = hidden_SH.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_SH.dtype


def _sum_type(hidden_SH: Tensor) -> torch.dtype:
    return torch.promote_types(hidden_SH.dtype, torch.float32)


def _multiply(left: Tensor, right: Tensor, out: Tensor, beta: int = 0) -> None:
    """beta x out + left @ right, into `out` and summed in its type."""
    if left.dtype == out.dtype:
        torch.addmm(out, left, right, beta=beta, out=out)
    elif out.device.type == "cuda":
        torch.addmm(out, left, right, out_dtype=out.dtype, beta=beta, out=out)
    else:
        torch.addmm(out, left.to(out.dtype), right.to(out.dtype), beta=beta, out=out)


def _slices(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]
