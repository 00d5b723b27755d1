"""Attention over a pack: every token sees the earlier tokens of its own sequence, and no others.

Registered with transformers as `toolpath_packed`. Called without `segments` (a sampler with padded rows and a cache), it
is the sampler's attention, so one model object samples and trains.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from rollout.engines.attention import sampling_attention
from trainer.packing import Pack
from trainer.prefixes import Shared

NAME = "toolpath_packed"
NO_DENSE_MASK_SHAPE = (1, 1, 0, 0)
"""A 4-D mask is handed through by transformers as it is: an empty one keeps it from building a quadratic one."""
VARLEN_MIN_CAPABILITY = (8, 0)
"""Compute capability that the fused variable-length kernels need."""


LIKE_LENGTHS = 0.75
"""Sequences at least this long, beside the longest of a grid, are padded to it."""


@dataclass(frozen=True)
class Segments:
    """Where each sequence of a pack stands, and where its tokens' queries, keys and values come from."""

    pack: Pack
    shared: Shared | None

    @cached_property
    def offsets_N1(self) -> Tensor:
        """int32."""
        return self.pack.offsets_N1.int()

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return int(self.pack.lengths_N.max())

    @cached_property
    def grids(self) -> "Grids":
        """For devices without a kernel for variable lengths."""
        return _grids(self.pack, self.shared)


@dataclass(frozen=True)
class Grids:
    """Sequences of like lengths side by side, each as a row that is padded to the longest: M places in all."""

    shapes: tuple[tuple[int, int], ...]
    """(sequences, longest) of each grid."""
    slots_M: Tensor
    """Computed token of each place; 0 in the padding, which causality keeps every real token from seeing."""
    places_U: Tensor
    """Place of each computed token."""


def _grids(pack: Pack, shared: Shared | None) -> Grids:
    order = torch.argsort(pack.lengths_N, descending=True, stable=True)
    lengths, starts, shapes, end = pack.lengths_N[order].tolist(), list[int](), list[tuple[int, int]](), 0
    for length in lengths:
        if not shapes or length < LIKE_LENGTHS * shapes[-1][1]:
            shapes.append((0, length))
        num_sequences, longest = shapes[-1]
        shapes[-1] = num_sequences + 1, longest
        starts.append(end)
        end += longest
    starts_N = torch.empty_like(order)
    starts_N[order] = torch.tensor(starts, device=order.device)
    places_T = starts_N[pack.sequence_ids_T] + pack.positions_T
    slots_M = order.new_zeros(end)
    slots_M[places_T] = torch.arange(pack.num_tokens, device=order.device) if shared is None else shared.places_T
    return Grids(tuple(shapes), slots_M, places_T if shared is None else places_T[shared.kept_U])


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
    """Attention in the form that transformers calls: query (1, H, U, D), key and value (1, H_kv, U, D) of the
    tokens that are computed; returns (1, U, H, D)."""
    if segments is None:
        return sampling_attention(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    q_UHD, k_UHD, v_UHD = (x[0].transpose(0, 1) for x in _one_dtype(query, key, value))
    attend = _fused if _has_fused_kernel(query.device, q_UHD.dtype) else _on_grid
    return attend(q_UHD, k_UHD, v_UHD, segments, scaling)[None], None


def _one_dtype(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Norms keep query and key in float32 under autocast; kernels want one type."""
    device = query.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else value.dtype
    return query.to(dtype), key.to(dtype), value.to(dtype)


def _has_fused_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    half = dtype in (torch.bfloat16, torch.float16)
    return device.type == "cuda" and half and torch.cuda.get_device_capability(device) >= VARLEN_MIN_CAPABILITY


def _fused(q_UHD: Tensor, k_UHD: Tensor, v_UHD: Tensor, segments: Segments, scaling: float | None) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn  # takes seconds to import, and only CUDA needs it

    offsets, longest, shared = segments.offsets_N1, segments.longest, segments.shared
    q_THD, k_THD, v_THD = (x if shared is None else x.index_select(0, shared.places_T) for x in (q_UHD, k_UHD, v_UHD))
    out = varlen_attn(
        q_THD, k_THD, v_THD, offsets, offsets, longest, longest, scale=scaling, window_size=(-1, 0), enable_gqa=True
    )
    assert isinstance(out, Tensor)
    return out if shared is None else out.index_select(0, shared.kept_U)


def _on_grid(q_UHD: Tensor, k_UHD: Tensor, v_UHD: Tensor, segments: Segments, scaling: float | None) -> Tensor:
    """Gather the sequences into grids (N, H, L, D), attend causally, scatter back: linear in N, unlike a block mask."""
    grids, done, end = segments.grids, [], 0
    for num_sequences, longest in grids.shapes:
        start, end = end, end + num_sequences * longest
        q, k, v = (
            x.index_select(0, grids.slots_M[start:end]).view(num_sequences, longest, *x.shape[1:]).transpose(1, 2)
            for x in (q_UHD, k_UHD, v_UHD)
        )
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=True)
        done.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(done).index_select(0, grids.places_U)


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
