"""Adaptive sampling: more attempts only at tasks whose verdict is still open.

The verdict of a task is what its first K attempts will say: never, sometimes or always right. It is final as soon as both
a right and a wrong attempt were seen. A task with equal outcomes so far may be left early too, where it is improbable that
the attempts that were saved would have changed its verdict. How improbable depends on how many tasks the student never or
always solves, which the attempts themselves tell: the prior is a mixture, fitted to all tasks (empirical Bayes).

Stopping on outcomes biases c / n and pass@k; posteriors given (n, c) stay what they are (likelihood principle).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

_EM_STEPS = 1000


class Solved(StrEnum):
    """How often a student solves a task: the verdict on its attempts."""

    NEVER = "never"
    SOMETIMES = "sometimes"
    ALWAYS = "always"


def verdict(n: int, c: int) -> Solved:
    """The verdict of n attempts, c of them right. Raises ValueError unless 0 <= c <= n and n >= 1."""
    _check(n, c)
    if n == 0:
        raise ValueError("no attempts: a verdict needs at least one")
    if c == n:
        return Solved.ALWAYS
    return Solved.SOMETIMES if c else Solved.NEVER


@dataclass(frozen=True)
class Mixture:
    """Prior over the pass rates of tasks: shares at exactly 0, at exactly 1, and uniform between. They sum to 1."""

    never: float
    between: float
    always: float

    def likelihoods(self, n: int, c: int) -> tuple[float, float, float]:
        """P(these n outcomes in their order, component): never, between, always. Uniform: c! (n - c)! / (n + 1)!."""
        between = 1.0 / ((n + 1) * math.comb(n, c))
        return self.never * (c == 0), self.between * between, self.always * (c == n)


UNIFORM = Mixture(0.0, 1.0, 0.0)
"""Where nothing is known: every pass rate is as probable as any other."""


def fit_mixture(counts_P: Sequence[tuple[int, int]]) -> Mixture:
    """The mixture of largest likelihood for tasks given as (attempts, right ones), by expectation maximisation.

    Tasks without attempts say nothing. The order of tasks does not count. Stopping early does not bias it: the likelihood
    of a sequence is that of its outcomes.
    """
    tally = sorted(Counter((n, c) for n, c in counts_P if n).items())
    if not tally:
        return UNIFORM
    mixture = Mixture(1 / 3, 1 / 3, 1 / 3)
    for _ in range(_EM_STEPS):
        sums = [0.0, 0.0, 0.0]
        for (n, c), number in tally:
            parts = mixture.likelihoods(n, c)
            sums = [old + number * part / sum(parts) for old, part in zip(sums, parts, strict=True)]
        total = sum(sums)
        mixture = Mixture(*(part / total for part in sums))
    return mixture


def probability_of_change(n: int, c: int, num_attempts: int, prior: Mixture) -> float:
    """P(the verdict of `num_attempts` attempts differs from that of the first n, of which c are right).

    0 once both outcomes were seen or all attempts are made; 1 before the first. Raises ValueError for impossible counts.
    """
    _check(n, c)
    if n > num_attempts:
        raise ValueError(f"{n} attempts were made where {num_attempts} are asked for: raise num_attempts")
    if 0 < c < n or n == num_attempts:
        return 0.0
    if n == 0:
        return 1.0
    parts = prior.likelihoods(n, c)
    stays = prior.between / (num_attempts + 1)
    return (parts[1] - stays) / sum(parts) if sum(parts) else 1.0


def open_tasks(counts: Mapping[str, tuple[int, int]], num_attempts: int, error: float) -> set[str]:
    """The tasks, given as key: (attempts, right ones), that need more of their `num_attempts` attempts.

    `error` bounds P(wrong verdict) of each task that is left early with equal outcomes, under the fitted mixture; at 0 all
    verdicts are those of `num_attempts` attempts. Raises ValueError for an error outside 0 .. 1 (1 excluded).
    """
    if not 0.0 <= error < 1.0:
        raise ValueError(f"error {error} is outside 0 .. 1: give e.g. 0.05, or 0 for no wrong verdict")
    prior = fit_mixture(list(counts.values()))
    return {key for key, (n, c) in counts.items() if probability_of_change(n, c, num_attempts, prior) > error}


def _check(n: int, c: int) -> None:
    if not 0 <= c <= n:
        raise ValueError(f"{c} right of {n} attempts is impossible: check the counts")
