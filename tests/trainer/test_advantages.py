"""Advantages and shaping by hand."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.advantages import STD_FLOOR, group_advantages, has_variance, overlong_penalty, shuffled


@pytest.mark.parametrize(
    ("length", "penalty"), [(0, 0), (16384, 0), (16385, -1 / 4096), (18432, -0.5), (20480, -1), (30000, -1)]
)
def test_overlong_penalty_of_open_agentrl(length, penalty):
    assert overlong_penalty(length, max_tokens=20480, cache_tokens=4096) == pytest.approx(penalty)


def test_without_a_cache_there_is_no_penalty():
    assert overlong_penalty(10**6, max_tokens=100, cache_tokens=0) == 0


def test_group_advantages_by_hand():
    # mean .5, sample standard deviation sqrt(4 * .25 / 3)
    assert group_advantages([1.0, 0.0, 0.0, 1.0]) == pytest.approx([0.8660254, -0.8660254, -0.8660254, 0.8660254])


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=16))
def test_advantages_are_centred_and_scaled(rewards):
    advantages = group_advantages(rewards)
    assert sum(advantages) == pytest.approx(0, abs=1e-6)
    if has_variance(rewards) and statistics.stdev(rewards) > STD_FLOOR:
        assert statistics.stdev(advantages) == pytest.approx(1, abs=1e-6)


def test_equal_rewards_have_no_variance_even_where_their_deviation_is_not_zero():
    rewards = [0.1] * 3
    assert sum(rewards) / 3 != 0.1  # so that a computed standard deviation is not zero either
    assert not has_variance(rewards)
    assert group_advantages(rewards) == [0, 0, 0]


def test_a_tiny_spread_is_not_blown_up():
    assert max(map(abs, group_advantages([0.0, 1e-6]))) < 1e-3


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.integers(0, 100))
def test_shuffling_keeps_the_rewards(rewards, seed):
    assert sorted(shuffled(rewards, seed)) == sorted(rewards)
    assert shuffled(rewards, seed) == shuffled(rewards, seed)
