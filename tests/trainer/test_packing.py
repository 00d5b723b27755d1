"""Packing keeps every token; order is a function of the seed."""

from collections import Counter
from itertools import pairwise

import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.storage import to_table
from data_contracts.token_rows import TokenRow
from tests.trainer.packs import make_row, random_pack, random_rows, row_lists
from trainer.packing import Pack, draw, from_rows, from_table, plan


def sequences(pack: Pack) -> Counter[tuple[object, ...]]:
    """The sequences of a pack as a bag of (tokens, trained) pairs, the slow way."""
    bounds = pack.offsets_N1.tolist()
    return Counter(
        (tuple(pack.tokens_T[a:b].tolist()), tuple(pack.trained_T[a:b].tolist())) for a, b in pairwise(bounds)
    )


def test_a_pack_by_hand():
    pack = from_rows(
        [make_row(0, [5, 6, 7], [False, True, True], [0.0, -0.5, -0.25]), make_row(1, [8, 9], [False, False])]
    )
    assert pack.offsets_N1.tolist() == [0, 3, 5]
    assert pack.tokens_T.tolist() == [5, 6, 7, 8, 9]
    assert pack.positions_T.tolist() == [0, 1, 2, 0, 1]
    assert pack.sequence_ids_T.tolist() == [0, 0, 0, 1, 1]
    assert pack.trained_T.tolist() == [False, True, True, False, False]
    assert pack.logprobs_T.tolist() == [0, -0.5, -0.25, 0, 0]
    assert pack.trained_positions_S.tolist() == [1, 2]


@settings(max_examples=60, deadline=None)
@given(row_lists(), st.integers(12, 40))
def test_splitting_keeps_every_token(rows, budget):
    pack = from_rows(rows)
    parts = pack.split(budget)
    assert all(part.num_tokens <= budget for part in parts)
    assert sum((sequences(part) for part in parts), Counter()) == sequences(pack)
    assert sum(float(part.weights_T.sum()) for part in parts) == float(pack.weights_T.sum())


@settings(max_examples=30, deadline=None)
@given(row_lists(), st.randoms(use_true_random=False))
def test_take_picks_whole_sequences(rows, random):
    pack = from_rows(rows)
    order = list(range(len(rows)))
    random.shuffle(order)
    again = from_rows([rows[i] for i in order])
    taken = pack.take(torch.tensor(order))
    for name in ("offsets_N1", "tokens_T", "trained_T", "logprobs_T", "positions_T", "sequence_ids_T"):
        assert torch.equal(getattr(taken, name), getattr(again, name)), name


def test_a_pack_does_not_depend_on_chunks_of_the_table():
    rows = random_rows(7, seed=1)
    chunked = pa.concat_tables([to_table(rows[:3], TokenRow), to_table(rows[3:], TokenRow)])
    assert torch.equal(from_table(chunked).tokens_T, from_rows(rows).tokens_T)


def test_a_sliced_table_keeps_its_own_rows():
    rows = random_rows(7, seed=1)
    table = to_table(rows, TokenRow).slice(2, 3)
    assert torch.equal(from_table(table).tokens_T, from_rows(rows[2:5]).tokens_T)


def test_a_row_over_the_budget_is_refused():
    with pytest.raises(ValueError, match=r"17 tokens.*at most 16.*tokens_per_microbatch.*17"):
        plan(torch.tensor([3, 17]), 16)


def test_a_trained_first_token_is_refused():
    with pytest.raises(ValueError, match="row 1 trains its first token"):
        from_rows([make_row(0, [1, 2], [False, True]), make_row(1, [1, 2], [True, True])])


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="no rows"):
        from_rows([])


@given(st.integers(1, 20), st.integers(0, 60), st.integers(1, 30), st.integers(0, 5))
def test_the_stream_is_cut_anywhere(num_items, start, count, seed):
    whole = draw(num_items, 0, start + count, seed)
    assert draw(num_items, start, count, seed) == whole[start:]


@given(st.integers(1, 20), st.integers(0, 5))
def test_each_epoch_has_every_item_once(num_items, seed):
    assert sorted(draw(num_items, 2 * num_items, num_items, seed)) == list(range(num_items))


def test_the_seed_decides_the_order():
    assert draw(50, 0, 50, 0) != draw(50, 0, 50, 1)


def test_untrained_logprobs_are_zero_and_missing_ones_are_nan():
    row = make_row(0, [1, 2, 3], [False, True, True])
    pack = from_rows([row.model_copy(update={"logprobs_T": (None, -0.5, None)})])
    assert pack.logprobs_T[:2].tolist() == [0, -0.5]
    assert bool(pack.logprobs_T[2].isnan())


def test_neighbours_in_a_micro_batch_have_like_lengths():
    pack = random_pack(40, seed=3, longest=60)
    padded = sum(part.num_sequences * int(part.lengths_N.max()) for part in pack.split(120))
    assert padded < 1.25 * pack.num_tokens
