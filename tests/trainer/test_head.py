"""The head in tiles is log_softmax, at whatever tile, and holds no more than a tile."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainer.head import Tile, head_logprobs

TOKENS, VOCABULARY, WIDTH = 8, 11, 5
TEMPERATURES = 0.5 + torch.rand(TOKENS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def inputs(seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states, weight and targets; logits are spread widely."""
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(TOKENS, WIDTH, generator=g, dtype=dtype).requires_grad_()
    weight = 2 * torch.randn(VOCABULARY, WIDTH, generator=g, dtype=dtype)
    return hidden, weight.requires_grad_(), torch.randint(0, VOCABULARY, (TOKENS,), generator=g)


def plain(hidden, weight, targets, temperature) -> tuple[torch.Tensor, torch.Tensor]:
    logits = hidden @ weight.T / torch.as_tensor(temperature).expand(len(targets))[:, None]
    logs = logits.log_softmax(-1)
    return logs[range(len(targets)), targets], -(logs.exp() * logs).sum(-1)


def gradients(outputs, upstream, wanted) -> tuple[torch.Tensor, ...]:
    total = sum((out * up).sum() for out, up in zip(outputs, upstream, strict=True) if up is not None)
    return torch.autograd.grad(total, wanted)


@pytest.mark.parametrize("temperature", [1.0, 0.5, TEMPERATURES])
@pytest.mark.parametrize("tile", [None, Tile(3, 4), Tile(1, 11)])
def test_it_passes_gradcheck(temperature, tile):
    hidden, weight, targets = inputs()
    assert torch.autograd.gradcheck(lambda h, w: head_logprobs(h, w, targets, temperature, tile), (hidden, weight))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 50), st.sampled_from(["both", "logprob", "entropy"]))
def test_every_tile_gives_log_softmax_s_values_and_gradients(num_tokens, vocabulary, seed, used):
    hidden, weight, targets = inputs(seed)
    upstream = list(torch.randn(2, TOKENS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    upstream = [None if used == other else up for up, other in zip(upstream, ("entropy", "logprob"), strict=True)]
    ours = head_logprobs(hidden, weight, targets, TEMPERATURES, Tile(num_tokens, vocabulary))
    theirs = plain(hidden, weight, targets, TEMPERATURES)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)
    wanted = (hidden, weight)
    torch.testing.assert_close(
        gradients(ours, upstream, wanted), gradients(theirs, upstream, wanted), atol=1e-12, rtol=1e-12
    )


def test_a_certain_and_an_impossible_token_stay_finite():
    hidden, weight, _ = inputs()
    targets = torch.tensor([0, 1] * 4)
    weight = torch.cat([1000 * hidden.detach()[:1], -1000 * hidden.detach()[:1]]).requires_grad_()
    out = head_logprobs(hidden, weight, targets, 1.0, Tile(2, 1))
    torch.testing.assert_close(out, plain(hidden, weight, targets, 1.0))
    assert all(g.isfinite().all() for g in gradients(out, [torch.ones(TOKENS)] * 2, (hidden, weight)))


def test_no_tokens_give_zero_gradients():
    hidden, weight, targets = inputs()
    out = head_logprobs(hidden[:0], weight, targets[:0], 1.0)
    assert [len(o) for o in out] == [0, 0]
    assert not any(g.any() for g in gradients(out, [torch.ones(0)] * 2, (hidden, weight)))


def test_a_frozen_weight_costs_no_gradient():
    hidden, weight, targets = inputs()
    expected = gradients(plain(hidden, weight, targets, 0.7), [torch.ones(TOKENS)] * 2, (hidden,))
    frozen = weight.detach()
    with Largest() as largest:
        found = gradients(head_logprobs(hidden, frozen, targets, 0.7, Tile(2, 2)), [torch.ones(TOKENS)] * 2, (hidden,))
    torch.testing.assert_close(found, expected)
    assert largest.num_bytes < frozen.nbytes


class Largest(TorchDispatchMode):
    """Remembers the largest memory that an operation's result lay in."""

    def __init__(self) -> None:
        super().__init__()
        self.num_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view and not any(arg.alias_info for arg in func._schema.arguments):
            sizes = [leaf.untyped_storage().nbytes() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
            self.num_bytes = max([self.num_bytes, *sizes])
        return out


def largest_of(head, num_tokens: int, vocabulary: int) -> int:
    hidden, weight = torch.randn(num_tokens, 2, requires_grad=True), torch.randn(vocabulary, 2, requires_grad=True)
    with Largest() as largest:
        gradients(head(hidden, weight, torch.zeros(num_tokens).long()), torch.ones(2, num_tokens), (hidden, weight))
    return largest.num_bytes


def test_logits_are_never_there_at_once():
    tile, num_tokens, vocabulary = Tile(16, 100), 128, 1000
    found = largest_of(lambda h, w, t: head_logprobs(h, w, t, 0.9, tile), num_tokens, vocabulary)
    assert found <= 4 * max(2 * tile.tokens * tile.vocabulary, 2 * vocabulary)  # two tiles, or the weight's gradient
    assert largest_of(lambda h, w, t: plain(h, w, t, 0.9), num_tokens, vocabulary) >= 4 * num_tokens * vocabulary


def test_under_autocast_products_are_rounded_but_sums_are_not():
    """Rounding hidden states and weight alone gives the same: logits themselves were not rounded, the gradients once."""
    hidden, weight, targets = inputs(dtype=torch.float32)
    upstream = list(torch.randn(2, TOKENS, generator=torch.Generator().manual_seed(0)))
    with torch.autocast("cpu", torch.bfloat16):
        ours = head_logprobs(hidden, weight, targets, 1.0, Tile(3, 4))
    theirs = plain(hidden.bfloat16().float(), weight.bfloat16().float(), targets, 1.0)
    assert ours[0].dtype == ours[1].dtype == torch.float32
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    ours, theirs = (gradients(out, upstream, (hidden, weight)) for out in (ours, theirs))
    assert {g.dtype for g in ours} == {torch.float32}
    torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.02)
