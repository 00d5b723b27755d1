"""Two policies on the same tasks: paired, task by task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from data_contracts.manifests import Metric
from data_contracts.scores import ScoredAttempt
from rollout.evaluation.groups import STRICT, TaskGroup, sizes, task_groups
from rollout.statistics import Interval, bootstrap_interval, permutation_test, sign_test

SEED = 0


@dataclass(frozen=True)
class Comparison:
    """One figure of two policies, over the tasks where both have it."""

    figure: str
    """`avg`, `pass@8`, ..."""
    num_tasks: int
    first: float
    second: float
    """Means over these tasks."""
    difference: Interval
    """second - first; 95 % bootstrap interval over tasks."""
    wins: int
    """Tasks where the second is better."""
    losses: int
    sign_p: float
    """Two-sided p-value of the sign test on wins and losses."""
    permutation_p: float
    """Two-sided p-value of the paired permutation test on the mean difference."""


class Pairing(StrEnum):
    """What makes two tasks the same."""

    TASK = "task"
    """Problem, prompt, tools and limits."""
    ITEM = "item"
    """The problem, as its source numbers it: to compare prompts, tools or limits."""


def compare(
    first: Sequence[ScoredAttempt], second: Sequence[ScoredAttempt], pairing: Pairing = Pairing.TASK
) -> list[Comparison]:
    """avg, then pass@k, pass^k and maj@k for every k that both have, paired by task, or by the item that tasks come from.

    Tasks that only one of them was asked, or labelled, are left out; without a common task there is nothing to compare.
    Raises ValueError where a run asks an item in several ways and they are to be paired by item.
    """
    ours, theirs = (_named(task_groups(attempts), pairing) for attempts in (first, second))
    common = [k for k in sizes(list(ours.values())) if k in sizes(list(theirs.values()))]
    figures: dict[str, Callable[[TaskGroup], float | None]] = {"avg": partial(TaskGroup.mean, part=STRICT)}
    for metric in Metric:
        figures |= {metric.value.replace("k", str(k)): partial(TaskGroup.value, metric=metric, k=k) for k in common}
    found = [_compared(name, value, ours, theirs) for name, value in figures.items()]
    return [comparison for comparison in found if comparison is not None]


def _named(groups: Sequence[TaskGroup], pairing: Pairing) -> dict[str, TaskGroup]:
    if pairing is Pairing.TASK:
        return {group.task_key: group for group in groups}
    named: dict[str, TaskGroup] = {}
    for group in groups:
        if group.item in named:
            raise ValueError(
                f"{group.item} is asked in several ways in one run: pair by {Pairing.TASK}, not by {pairing}"
            )
        named[group.item] = group
    return named


def _compared(
    figure: str,
    value: Callable[[TaskGroup], float | None],
    ours: Mapping[str, TaskGroup],
    theirs: Mapping[str, TaskGroup],
) -> Comparison | None:
    pairs = [(value(ours[key]), value(theirs[key])) for key in sorted(ours.keys() & theirs.keys())]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    if not known:
        return None
    differences_P = [b - a for a, b in known]
    wins, losses = sum(d > 0 for d in differences_P), sum(d < 0 for d in differences_P)
    return Comparison(
        figure=figure,
        num_tasks=len(known),
        first=sum(a for a, _ in known) / len(known),
        second=sum(b for _, b in known) / len(known),
        difference=bootstrap_interval(differences_P, seed=SEED),
        wins=wins,
        losses=losses,
        sign_p=sign_test(wins, losses),
        permutation_p=permutation_test(differences_P, seed=SEED),
    )
