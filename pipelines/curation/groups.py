"""Rules on sets of attempts: C2, duplicates, quotas. They look at rows together, so they are asked after the others."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from data_contracts.attempts import Attempt, Outcome, RepeatKind
from data_contracts.decisions import Reason
from pipelines.curation.choice import Aspect, Method, choose
from pipelines.curation.duplicates import find_duplicates, transcript_text
from pipelines.curation.near_duplicates import find_near_duplicates
from pipelines.curation.recipes import C2, SftDataRecipe
from pipelines.curation.rules.outcome import breaks_c1, is_void
from pipelines.curation.rules.rule import FAILURES, Evidence, Finding
from rollout.verdicts import LABELLED, informative


@dataclass(frozen=True)
class GroupRule:
    """A rule on sets of attempts.

    `find` takes all attempts, those that broke no rule asked before (both by key), and the recipe; it returns findings
    on the latter.
    """

    name: str
    version: int
    find: Callable[[Sequence[Attempt], Sequence[Attempt], SftDataRecipe], Mapping[str, Finding]]


@dataclass(frozen=True)
class UniformGroup(Evidence):
    """How the attempts of one policy at one task came out."""

    c2: C2
    attempts: int
    correct: int


@dataclass(frozen=True)
class DuplicateOf(Evidence):
    """The attempt that says the same and stays."""

    of: str


@dataclass(frozen=True)
class NearDuplicateOf(Evidence):
    """The attempt that stays, and the estimated Jaccard similarity of the two."""

    of: str
    similarity: float


@dataclass(frozen=True)
class OverBudget(Evidence):
    """The budget and how it was filled."""

    max_rows: int
    method: Method
    aspect: Aspect


@dataclass(frozen=True)
class OverQuota(Evidence):
    """The quota."""

    max_per_task: int


def uniform_groups(
    attempts: Sequence[Attempt], passed: Sequence[Attempt], recipe: SftDataRecipe
) -> Mapping[str, Finding]:
    """C2 (arXiv 2606.03762): attempts at tasks that their policy always or never solves, or tried too seldom to tell.

    Told from labelled independent attempts, before or after C1 as the recipe says; never from what other rules leave.
    """
    if recipe.c2 is C2.OFF:
        return {}
    groups: defaultdict[tuple[str, str], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if _counts_for_c2(attempt, recipe):
            groups[attempt.task_key, attempt.policy.id].append(attempt)
    asked = {row.key: groups.get((row.task_key, row.policy.id), []) for row in passed}
    return {key: finding for key, group in asked.items() if (finding := _uniform(group, recipe))}


def _counts_for_c2(attempt: Attempt, recipe: SftDataRecipe) -> bool:
    if is_void(attempt) or attempt.outcome not in LABELLED or attempt.repeat_kind is not RepeatKind.INDEPENDENT:
        return False
    return recipe.c2 is C2.BEFORE_C1 or not breaks_c1(attempt, recipe)


def _uniform(group: Sequence[Attempt], recipe: SftDataRecipe) -> Finding | None:
    outcomes = [attempt.outcome for attempt in group]
    correct = outcomes.count(Outcome.CORRECT)
    seen = UniformGroup(recipe.c2, len(group), correct)
    if len(group) < recipe.c2_min_attempts:
        return Finding(Reason.GROUP_TOO_SMALL, seen)
    if informative(outcomes):
        return None
    return Finding(Reason.GROUP_ALL_CORRECT if correct else Reason.GROUP_ALL_WRONG, seen)


def duplicates(attempts: Sequence[Attempt], passed: Sequence[Attempt], recipe: SftDataRecipe) -> Mapping[str, Finding]:
    """Exact duplicates of another attempt that passed."""
    found = find_duplicates(passed) if recipe.drop_duplicates else {}
    return {key: Finding(Reason.DUPLICATE, DuplicateOf(representative)) for key, representative in found.items()}


def near_duplicates(
    attempts: Sequence[Attempt], passed: Sequence[Attempt], recipe: SftDataRecipe
) -> Mapping[str, Finding]:
    """Attempts that say nearly the same as another one that passed: of a cluster stays the one with the fewest failed
    calls, then the fewest turns, then the smallest key."""
    if recipe.near_duplicates is None or not passed:
        return {}
    keys = pl.Series([attempt.key for attempt in passed])
    texts = pl.Series([transcript_text(attempt) for attempt in passed])
    quality = pl.Series([_merit(attempt) for attempt in passed])
    table = find_near_duplicates(keys, texts, recipe.near_duplicates, quality)
    gone = table.filter(pl.col("key") != pl.col("representative"))
    return {
        key: Finding(Reason.NEAR_DUPLICATE, NearDuplicateOf(representative, round(estimate, 3)))
        for key, representative, estimate in gone.iter_rows()
    }


def _merit(attempt: Attempt) -> float:
    failed = sum(call.status in FAILURES for call in attempt.calls())
    return -float(failed) - len(attempt.turns) / 1e4


def over_quota(attempts: Sequence[Attempt], passed: Sequence[Attempt], recipe: SftDataRecipe) -> Mapping[str, Finding]:
    """Attempts beyond the quota of their task, the first by key stay."""
    if recipe.max_per_task is None:
        return {}
    by_task: defaultdict[str, list[str]] = defaultdict(list)
    for attempt in passed:
        by_task[attempt.task_key].append(attempt.key)
    finding = Finding(Reason.OVER_QUOTA, OverQuota(recipe.max_per_task))
    return dict.fromkeys(_beyond(by_task.values(), recipe.max_per_task), finding)


def over_budget(attempts: Sequence[Attempt], passed: Sequence[Attempt], recipe: SftDataRecipe) -> Mapping[str, Finding]:
    """Attempts that were not chosen for the budget."""
    if recipe.budget is None:
        return {}
    chosen = choose(passed, recipe.budget)
    finding = Finding(
        Reason.OVER_BUDGET, OverBudget(recipe.budget.max_rows, recipe.budget.method, recipe.budget.aspect)
    )
    return dict.fromkeys((attempt.key for attempt in passed if attempt.key not in chosen), finding)


def _beyond(groups: Iterable[Sequence[str]], quota: int) -> Iterable[str]:
    return (key for keys in groups for key in keys[quota:])


GROUP_RULES: tuple[GroupRule, ...] = (
    GroupRule("c2", 1, uniform_groups),
    GroupRule("duplicate", 1, duplicates),
    GroupRule("near_duplicate", 1, near_duplicates),
    GroupRule("over_quota", 1, over_quota),
    GroupRule("over_budget", 1, over_budget),
)
"""In the order in which they are asked."""
