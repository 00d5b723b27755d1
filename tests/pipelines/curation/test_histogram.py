"""Buckets and target histograms."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.curation.histogram import Bucket, bucket_of, histogram, to_histogram

OPEN_AGENTRL = {Bucket.HARD: 0.257, Bucket.MEDIUM: 0.372, Bucket.EASY: 0.371}
RATES = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.integers(0, 8).map(lambda c: c / 8))


@pytest.mark.parametrize(
    ("rate", "bucket"),
    [(0, "hard"), (0.25, "hard"), (0.26, "medium"), (0.5, "medium"), (0.74, "medium"), (0.75, "easy"), (1, "easy")],
)
def test_the_borders_are_those_of_the_paper(rate, bucket):
    assert bucket_of(rate) == bucket


@settings(max_examples=60)
@given(rates=RATES)
def test_the_shares_are_the_target_s_but_for_rounding_and_the_order_does_not_count(rates):
    chosen = to_histogram(rates, OPEN_AGENTRL)
    assert to_histogram(dict(reversed(rates.items())), OPEN_AGENTRL) == chosen
    counts = histogram({key: rates[key] for key in chosen})
    total = min(histogram(rates)[bucket] / share for bucket, share in OPEN_AGENTRL.items())
    assert all(abs(counts[bucket] - total * share) <= 0.5 for bucket, share in OPEN_AGENTRL.items())


def test_no_larger_set_has_the_histogram():
    """Against all subsets."""
    rates = {"a": 0.0, "b": 0.1, "c": 0.5, "d": 0.5, "e": 0.5, "f": 0.5, "g": 0.9, "h": 1.0, "i": 1.0}
    target = {Bucket.HARD: 0.25, Bucket.MEDIUM: 0.5, Bucket.EASY: 0.25}

    def fits(keys: tuple[str, ...]) -> bool:
        counts = histogram({key: rates[key] for key in keys})
        return all(counts[bucket] == share * len(keys) for bucket, share in target.items())

    best = max(n for n in range(len(rates) + 1) for keys in combinations(rates, n) if fits(keys))
    chosen = to_histogram(rates, target)
    assert fits(tuple(chosen))
    assert len(chosen) == best == 8


def test_a_budget_and_an_empty_bucket():
    rates = {str(i): i / 100 for i in range(101)}
    assert len(to_histogram(rates, OPEN_AGENTRL, max_tasks=20)) in (19, 20, 21)
    only_easy = {key: rate for key, rate in rates.items() if rate >= 0.75}
    assert to_histogram(only_easy, OPEN_AGENTRL) == set()
    assert to_histogram(only_easy, {Bucket.EASY: 1.0}) == set(only_easy)


@pytest.mark.parametrize("target", [{Bucket.EASY: 0.5}, {Bucket.EASY: 1.5, Bucket.HARD: -0.5}, {}])
def test_shares_that_are_no_histogram_are_refused(target):
    with pytest.raises(ValueError, match="shares from 0 to 1 that sum to 1"):
        to_histogram({"a": 0.5}, target)
