"""What sequences begin with alike is computed once, and nothing else changes."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.token_rows import TokenRow
from tests.trainer.packs import VOCABULARY, make_learner, make_model, make_row, random_pack
from trainer import attention
from trainer.model import token_logprobs
from trainer.packing import Pack, from_rows
from trainer.prefixes import MIN_SHARE, Shared, common, shared, split_together


def sequences(pack: Pack) -> list[list[int]]:
    bounds = pack.offsets_N1.tolist()
    return [pack.tokens_T[a:b].tolist() for a, b in pairwise(bounds)]


def num_common(left: list[int], right: list[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def groups_of_rows(prompts: list[list[int]], ends: list[list[list[int]]]) -> list[TokenRow]:
    """A row for each ending of each prompt; every token of an ending is trained."""
    rows = [(p, e) for p, group in zip(prompts, ends, strict=True) for e in group]
    return [make_row(i, p + e, [False] * len(p) + [True] * len(e)) for i, (p, e) in enumerate(rows)]


def group_pack(seed: int = 0, prompt: int = 12) -> Pack:
    """Three groups of four attempts at random, a prompt each."""
    g = torch.Generator().manual_seed(seed)

    def drawn(size: int) -> list[int]:
        return torch.randint(0, VOCABULARY, (size,), generator=g).tolist()

    ends = [[drawn(int(torch.randint(1, 15, (1,), generator=g))) for _ in range(4)] for _ in range(3)]
    return from_rows(groups_of_rows([drawn(prompt) for _ in range(3)], ends))


@st.composite
def few_tokens(draw: st.DrawFn) -> Pack:
    """Sequences over two tokens, which begin alike often, at any length and whole sequences twice."""
    lists = draw(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=7), min_size=1, max_size=9))
    return from_rows([make_row(i, tokens, [False] * len(tokens)) for i, tokens in enumerate(lists)])


def test_two_sequences_by_hand():
    rows = [make_row(0, [5, 6, 7], [False, True, True]), make_row(1, [5, 6, 9, 9], [False, True, True, True])]
    found = shared(from_rows(rows))
    assert found is not None
    assert (found.kept_U.tolist(), found.places_T.tolist()) == ([0, 1, 2, 5, 6], [0, 1, 2, 0, 1, 3, 4])


@settings(max_examples=150, deadline=None)
@given(few_tokens())
def test_a_token_takes_the_state_of_one_with_the_same_past(pack):
    """The slow way: every token's whole past, as a list."""
    found, rows = shared(pack), sequences(pack)
    expected = [0, *(num_common(a, b) for a, b in pairwise(rows))]
    assert common(pack).tolist() == expected
    assert (found is None) == (sum(expected) < MIN_SHARE * pack.num_tokens)
    if isinstance(found, Shared):
        pasts = [row[: i + 1] for row in rows for i in range(len(row))]
        kept = found.kept_U.tolist()
        assert len(kept) == pack.num_tokens - sum(expected)
        assert [pasts[kept[place]] for place in found.places_T.tolist()] == pasts


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_entropies_and_gradients_are_those_of_whole_sequences(temperature):
    pack, found = group_pack(), []
    assert shared(pack) is not None
    for share in (False, True):
        model = make_model(3)
        outputs = token_logprobs(model, pack, temperature, share)
        (outputs[0] - 0.3 * outputs[1]).mul(torch.linspace(-1, 1, pack.num_tokens)).sum().backward()
        found.append([*(o.detach() for o in outputs), *(p.grad for p in model.parameters())])
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-4)


def test_the_model_sees_a_prompt_once():
    pack, seen = group_pack(prompt=12), list[int]()
    model = make_model(0)
    model.get_input_embeddings().register_forward_hook(lambda module, args, out: seen.append(out.shape[1]))
    for share in (False, True):
        token_logprobs(model, pack, 1.0, share)
    assert seen == [pack.num_tokens, pack.num_tokens - int(common(pack).sum())]
    assert seen[0] - seen[1] >= 3 * 3 * 12


@settings(max_examples=60, deadline=None)
@given(few_tokens(), st.integers(7, 20))
def test_splitting_keeps_every_sequence_in_order_and_within_the_budget(pack, budget):
    parts = split_together(pack, budget)
    assert [row for part in parts for row in sequences(part)] == sequences(pack)
    assert all(part.num_tokens - int(common(part).sum()) <= budget for part in parts)
    for one, after in pairwise(parts):  # no part could have taken the next sequence
        both = from_rows([make_row(i, row, [False] * len(row)) for i, row in enumerate(sequences(one))])
        added = after.lengths_N[0] - num_common(sequences(one)[-1], sequences(after)[0])
        assert both.num_tokens - int(common(both).sum()) + int(added) > budget


def test_a_sequence_over_the_budget_is_refused():
    with pytest.raises(ValueError, match="tokens_per_microbatch"):
        split_together(group_pack(), 11)


def test_rows_with_nothing_in_common_are_computed_as_before():
    pack = replace(random_pack(6, seed=0), tokens_T=torch.arange(random_pack(6, seed=0).num_tokens))
    assert shared(pack) is None
    learner = make_learner()
    plain = learner.logprobs(pack)[0]
    learner.share_prefixes = True
    assert torch.equal(learner.logprobs(pack)[0], plain)


def test_grids_hold_every_token_once_and_pad_little():
    pack = random_pack(40, seed=3, longest=60)
    grids = attention.Segments(pack, None).grids
    assert sum(n for n, _ in grids.shapes) == pack.num_sequences
    assert torch.equal(grids.slots_M[grids.places_U], torch.arange(pack.num_tokens))
    assert len(grids.slots_M) == sum(n * longest for n, longest in grids.shapes)
    assert len(grids.slots_M) < pack.num_tokens / attention.LIKE_LENGTHS
