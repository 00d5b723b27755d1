"""Rows of a report, from scored attempts alone: a suite whose texts are not kept is reported like any other."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from data_contracts.attempts import Outcome, StopReason
from data_contracts.manifests import CleanPart, Estimate, EvaluationRow, Metric, Score, StopCount
from data_contracts.overlaps import Overlap
from data_contracts.scores import ScoredAttempt
from rollout.evaluation.groups import LENIENT, STRICT, TaskGroup, sizes, task_groups
from rollout.recipe import EvaluateRecipe
from rollout.statistics import bootstrap_interval
from rollout.verdicts import LABELLED

BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class Contamination:
    """Which items of the suite the training data holds."""

    items: frozenset[str]
    """Names `source/source_id`."""
    min_item_share: float

    @classmethod
    def from_overlaps(cls, overlaps: Iterable[Overlap], min_item_share: float = 1.0) -> "Contamination":
        """The items of which some training row holds at least this share of the words."""
        return cls(frozenset(o.item for o in overlaps if o.item_share >= min_item_share), min_item_share)


def report(
    attempts: Sequence[ScoredAttempt], recipe: EvaluateRecipe, contamination: Contamination | None = None
) -> list[EvaluationRow]:
    """One row for all tasks, for each named group of domains and for each domain."""
    return [_row(name, part, recipe, contamination) for name, part in _parts(attempts, recipe.groups).items() if part]


def _parts(
    attempts: Sequence[ScoredAttempt], groups: Mapping[str, Collection[str]]
) -> dict[str, Sequence[ScoredAttempt]]:
    domains = sorted({a.domain for a in attempts})
    sets: dict[str, Collection[str]] = {"all": domains} | dict(groups) | {domain: [domain] for domain in domains}
    return {name: [a for a in attempts if a.domain in members] for name, members in sets.items()}


def _row(
    domain: str, attempts: Sequence[ScoredAttempt], recipe: EvaluateRecipe, contamination: Contamination | None
) -> EvaluationRow:
    labelled = [a for a in attempts if a.outcome in LABELLED]
    groups, n = task_groups(labelled), len(labelled)
    num_calls = sum(a.num_calls for a in labelled)
    followed = [a.follows_tool for a in labelled if a.follows_tool is not None]
    tokens = [a.num_tokens for a in labelled if a.num_tokens is not None]
    return EvaluationRow(
        policy=attempts[0].policy,
        label=recipe.label,
        suite=recipe.suite,
        domain=domain,
        num_tasks=len({a.task_key for a in attempts}),
        num_attempts=n,
        num_void=sum(a.outcome is Outcome.VOID for a in attempts),
        accuracy=accuracy(groups, STRICT),
        accuracy_lenient=accuracy(groups, LENIENT),
        calls_per_attempt=_share(num_calls, n),
        call_success=_share(sum(a.num_calls_ok for a in labelled), num_calls),
        model_failures=_share(sum(a.num_model_failures for a in labelled), num_calls),
        follows_tool=_share(sum(followed), len(followed)),
        tokens_per_attempt=_share(sum(tokens), len(tokens)),
        truncated=_share(sum(a.stop is not StopReason.END for a in labelled), n),
        scores=scores(groups),
        stops=_stops(labelled),
        clean=_clean(attempts, contamination),
        suite_revision=recipe.suite_revision,
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def accuracy(groups: Sequence[TaskGroup], part: str) -> Estimate:
    """avg@k: mean over tasks of the mean reward part over attempts; 95 % bootstrap interval over tasks."""
    return estimate([value for group in groups if (value := group.mean(part)) is not None])


def scores(groups: Sequence[TaskGroup]) -> tuple[Score, ...]:
    """pass@k, pass^k and maj@k for every k, each over the tasks with so many labelled attempts."""
    found = [
        Score(metric=metric, k=k, estimate=estimate([v for g in groups if (v := g.value(metric, k)) is not None]))
        for metric in Metric
        for k in sizes(groups)
    ]
    return tuple(score for score in found if score.estimate.mean is not None)


def estimate(values_P: Sequence[float]) -> Estimate:
    """Mean over tasks with its 95 % percentile bootstrap interval over tasks, always from the same seed."""
    if not values_P:
        return Estimate(mean=None, low=None, high=None, num_samples=0)
    interval = bootstrap_interval(values_P, seed=BOOTSTRAP_SEED)
    return Estimate(mean=interval.mean, low=interval.low, high=interval.high, num_samples=len(values_P))


def _stops(labelled: Sequence[ScoredAttempt]) -> tuple[StopCount, ...]:
    counted = Counter(a.stop for a in labelled)
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0].value))
    return tuple(StopCount(stop=stop, num_attempts=number) for stop, number in ordered)


def _clean(attempts: Sequence[ScoredAttempt], contamination: Contamination | None) -> CleanPart | None:
    if contamination is None:
        return None
    held = {a.task_key for a in attempts if a.item in contamination.items}
    return CleanPart(
        num_contaminated=len(held),
        share=len(held) / len({a.task_key for a in attempts}),
        min_item_share=contamination.min_item_share,
        accuracy=accuracy(task_groups(a for a in attempts if a.task_key not in held), STRICT),
    )
