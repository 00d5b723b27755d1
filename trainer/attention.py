"""Attention over a pack: every token sees the earlier tokens of its own sequence, and no others.

Registered with transformers as `toolpath_packed`. Called without `segments` (a sampler with padded rows and a cache), it
is the sampler's attention, so one model object samples and trains.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from rollout.engines.attention import sampling_attention
from trainer.packing import Pack

NAME = "toolpath_packed"
NO_DENSE_MASK_SHAPE = (1, 1, 0, 0)
"""A 4-D mask is handed through by transformers as it is: an empty one keeps it from building a quadratic one."""
VARLEN_MIN_CAPABILITY = (8, 0)
"""Compute capability that the fused variable-length kernels need."""


@dataclass(frozen=True)
class Segments:
    """Where each token of a pack stands in an (N, L) grid of sequences, L the longest."""

    offsets_N1: Tensor
    """int32."""
    slots_NL: Tensor
    """Flat token of each grid place; 0 in the padding, which causality keeps every real token from seeing."""
    places_T: Tensor
    """Grid place of each token."""
    num_sequences: int
    longest: int


def segments(pack: Pack) -> Segments:
    """The grid of a pack."""
    longest = int(pack.lengths_N.max())
    places = pack.sequence_ids_T * longest + pack.positions_T
    slots = places.new_zeros(pack.num_sequences * longest)
    slots[places] = torch.arange(pack.num_tokens, device=places.device)
    return Segments(pack.offsets_N1.int(), slots, places, pack.num_sequences, longest)


def no_dense_mask(device: torch.device) -> Tensor:
    """What to pass as `attention_mask` together with `segments`."""
    return torch.empty(NO_DENSE_MASK_SHAPE, device=device)


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    segments: Segments | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention in the form that transformers calls: query (1, H, T, D), key and value (1, H_kv, T, D); returns (1, T, H, D)."""
    if segments is None:
        return sampling_attention(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    q_THD, k_THD, v_THD = (x[0].transpose(0, 1) for x in _one_dtype(query, key, value))
    attend = _fused if _has_fused_kernel(query.device, q_THD.dtype) else _on_grid
    return attend(q_THD, k_THD, v_THD, segments, scaling)[None], None


def _one_dtype(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Norms keep query and key in float32 under autocast; kernels want one type."""
    device = query.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else value.dtype
    return query.to(dtype), key.to(dtype), value.to(dtype)


def _has_fused_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    half = dtype in (torch.bfloat16, torch.float16)
    return device.type == "cuda" and half and torch.cuda.get_device_capability(device) >= VARLEN_MIN_CAPABILITY


def _fused(q_THD: Tensor, k_THD: Tensor, v_THD: Tensor, segments: Segments, scaling: float | None) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn  # takes seconds to import, and only CUDA needs it

    offsets, longest = segments.offsets_N1, segments.longest
    out = varlen_attn(
        q_THD, k_THD, v_THD, offsets, offsets, longest, longest, scale=scaling, window_size=(-1, 0), enable_gqa=True
    )
    assert isinstance(out, Tensor)
    return out


def _on_grid(q_THD: Tensor, k_THD: Tensor, v_THD: Tensor, segments: Segments, scaling: float | None) -> Tensor:
    """Gather the sequences into (N, H, L, D), attend causally, scatter back: linear in N, unlike a block mask."""

    def grid(x_THD: Tensor) -> Tensor:
        shape = (segments.num_sequences, segments.longest, *x_THD.shape[1:])
        return x_THD.index_select(0, segments.slots_NL).view(shape).transpose(1, 2)

    out = F.scaled_dot_product_attention(
        grid(q_THD), grid(k_THD), grid(v_THD), is_causal=True, scale=scaling, enable_gqa=True
    )
    return out.transpose(1, 2).flatten(0, 1).index_select(0, segments.places_T)


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
