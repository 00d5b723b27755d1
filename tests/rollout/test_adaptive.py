"""Adaptive sampling: the mixture, the probability of a wrong verdict, and the bound that is promised."""

from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from rollout.adaptive import (
    UNIFORM,
    Mixture,
    Solved,
    fit_mixture,
    open_tasks,
    probability_of_change,
    verdict,
)

K = 8
PUBLISHED = Mixture(never=0.3, between=0.53, always=0.17)


def outcomes_of(rng: Random, mixture: Mixture) -> list[bool]:
    """K attempts at a task of the mixture."""
    (p,) = rng.choices((0.0, rng.random(), 1.0), (mixture.never, mixture.between, mixture.always))
    return [rng.random() < p for _ in range(K)]


def counts_of(tasks: list[list[bool]]) -> list[tuple[int, int]]:
    return [(len(task), sum(task)) for task in tasks]


def by_integration(n: int, c: int, mixture: Mixture) -> float:
    """P(verdict changes by K), by summing over all continuations and a fine grid of pass rates."""
    grid = (np.arange(20_000) + 0.5) / 20_000
    rates = np.concatenate([[0.0, 1.0], grid])
    prior = np.concatenate([[mixture.never, mixture.always], np.full(len(grid), mixture.between / len(grid))])
    seen = prior * rates**c * (1 - rates) ** (n - c)
    same = sum(
        (seen * rates ** sum(rest) * (1 - rates) ** (len(rest) - sum(rest))).sum()
        for rest in product((0, 1), repeat=K - n)
        if verdict(K, c + sum(rest)) is verdict(n, c)
    )
    return 1 - same / seen.sum()


@pytest.mark.parametrize("mixture", [PUBLISHED, UNIFORM, Mixture(0.05, 0.15, 0.8)])
@pytest.mark.parametrize(("n", "c"), [(1, 0), (1, 1), (3, 0), (5, 5), (7, 0), (8, 8), (4, 2)])
def test_the_probability_of_another_verdict_equals_the_integral(mixture, n, c):
    assert probability_of_change(n, c, K, mixture) == pytest.approx(by_integration(n, c, mixture), abs=1e-6)


def log_likelihood(shares: np.ndarray, counts: list[tuple[int, int]]) -> float:
    mixture = Mixture(*shares)
    return float(sum(np.log(sum(mixture.likelihoods(n, c))) for n, c in counts))


@pytest.mark.parametrize("truth", [PUBLISHED, UNIFORM, Mixture(0.05, 0.15, 0.8)])
def test_the_fitted_mixture_is_the_most_likely_one(truth):
    rng = Random(1)
    counts = counts_of([outcomes_of(rng, truth)[: rng.randint(1, K)] for _ in range(400)])
    fitted = fit_mixture(counts)

    def badness(free: np.ndarray) -> float:
        shares = np.exp(np.append(free, 0.0))
        return -log_likelihood(shares / shares.sum(), counts)

    best = -minimize(badness, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}).fun
    found = log_likelihood(np.array([fitted.never, fitted.between, fitted.always]), counts)
    assert found == pytest.approx(best, abs=2e-3)
    assert (fitted.never, fitted.always) == pytest.approx((truth.never, truth.always), abs=0.12)


@settings(max_examples=30)
@given(counts=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)).map(sorted).map(lambda p: (p[1], p[0]))))
def test_the_order_of_tasks_does_not_count(counts):
    assert fit_mixture(counts) == fit_mixture(counts[::-1])


def sampled(tasks: list[list[bool]], error: float) -> dict[str, tuple[int, int]]:
    """Two attempts each, then one more wherever the rule asks for it."""
    counts = {str(i): (2, sum(task[:2])) for i, task in enumerate(tasks)}
    while asked := open_tasks(counts, K, error):
        for key in asked:
            n, _ = counts[key]
            counts[key] = (n + 1, sum(tasks[int(key)][: n + 1]))
    return counts


def test_without_error_every_verdict_is_that_of_all_attempts():
    tasks = [list(task) for task in product((False, True), repeat=K)]
    counts = sampled(tasks, error=0.0)
    assert all(verdict(*counts[str(i)]) is verdict(K, sum(task)) for i, task in enumerate(tasks))
    assert sum(n for n, _ in counts.values()) < 0.5 * K * len(tasks)


@pytest.mark.parametrize("error", [0.02, 0.05, 0.1])
def test_early_verdicts_are_wrong_at_most_as_often_as_stated(error):
    """Over 20,000 tasks: the share of wrong ones among those left early, with three standard errors of room."""
    rng = Random(5)
    tasks = [outcomes_of(rng, PUBLISHED) for _ in range(20_000)]
    counts = sampled(tasks, error)
    early = [i for i in range(len(tasks)) if counts[str(i)][0] < K and verdict(*counts[str(i)]) is not Solved.SOMETIMES]
    wrong = sum(verdict(*counts[str(i)]) is not verdict(K, sum(tasks[i])) for i in early)
    assert len(early) > 1000
    assert wrong / len(early) <= error + 3 * (error / len(early)) ** 0.5
    assert wrong > 0


def test_impossible_counts_and_errors_are_refused():
    with pytest.raises(ValueError, match="3 right of 2 attempts"):
        verdict(2, 3)
    with pytest.raises(ValueError, match="at least one"):
        verdict(0, 0)
    with pytest.raises(ValueError, match="9 attempts were made where 8"):
        probability_of_change(9, 0, K, UNIFORM)
    with pytest.raises(ValueError, match=r"error 1.0 is outside"):
        open_tasks({}, K, 1.0)
