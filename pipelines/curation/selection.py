"""Which attempts go to SFT and which tasks to RL: every row comes out as one decision, whatever the order of rows."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from data_contracts.attempts import Attempt, Outcome
from data_contracts.decisions import Decision, Reason, Verdict
from data_contracts.difficulty import Difficulty
from data_contracts.overlaps import Overlap
from data_contracts.tasks import Task
from pipelines.curation.contamination import worst
from pipelines.curation.facts import Facts, measure
from pipelines.curation.groups import GROUP_RULES, break_group_rules
from pipelines.curation.histogram import Bucket, bucket_of, to_histogram
from pipelines.curation.recipes import RlDataRecipe, SftDataRecipe
from pipelines.curation.rules import RULES, Case, Evidence, Finding, all_broken, first_broken
from pipelines.curation.rules.contamination import held_item
from pipelines.curation.texts import TextsInMemory
from rollout.statistics import BetaPosterior
from rollout.verdicts import informative

SFT_STAGE, RL_STAGE = "sft_dataset", "rl_dataset"
SFT_RULES, RL_RULES = "sft-2", "rl-2"
NO_EVIDENCE = "{}"
VERDICTS = {None: Verdict.KEEP.value, Reason.CONTRACT.value: Verdict.QUARANTINE.value}
"""Of these reasons; every other one drops the row."""
VERSIONS = {rule.name: rule.version for rule in RULES} | {rule.name: rule.version for rule in GROUP_RULES}
"""All rules, in the order in which they are asked."""

Row = TypeVar("Row")


def select_sft(
    attempts: Iterable[Attempt], recipe: SftDataRecipe, tasks: Iterable[Task] = (), overlaps: Iterable[Overlap] = ()
) -> tuple[list[Attempt], list[Decision]]:
    """The attempts to imitate, and a decision for each that came in; both by key.

    Each attempt is asked rule by rule, in the order of `rules.RULES`: the first that it breaks decides. Then come the
    rules on sets, in the order of `groups.GROUP_RULES`. `tasks` tell which tools were declared; without them the rules
    on declarations go by the status of the calls alone. `overlaps` tell what attempts and tasks hold of evaluation items.
    Raises ValueError for an attempt that comes twice.
    """
    rows = list(cases(attempts, tasks, overlaps).values())
    facts = facts_of(rows, [first_broken(case, recipe) for case in rows], recipe)
    decided = decide(facts.table, finding_table(break_group_rules(facts, facts.passed(), recipe)), recipe)
    decisions = [Decision(**row) for row in decided.iter_rows(named=True)]
    return [row.attempt for row, one in zip(rows, decisions, strict=True) if one.verdict is Verdict.KEEP], decisions


def facts_of(rows: Sequence[Case], findings: Sequence[Finding | None], recipe: SftDataRecipe) -> Facts:
    """The facts of attempts at hand, which come by key."""
    return Facts(*measure(rows, findings, recipe), TextsInMemory([case.attempt for case in rows]))


def finding_table(findings: Mapping[int, Finding]) -> pl.DataFrame:
    """What rules on sets found as columns, in the order of positions."""
    return pl.DataFrame(
        [(row, found.reason.value, found.evidence.canonical()) for row, found in sorted(findings.items())],
        schema={"row": pl.UInt32, "group_reason": pl.String, "group_evidence": pl.String},
        orient="row",
    )


def decide(table: pl.DataFrame, group: pl.DataFrame, recipe: SftDataRecipe) -> pl.DataFrame:
    """The decisions on attempts as columns, from their facts and what the rules on sets found (`finding_table`)."""
    reason, evidence = pl.coalesce("reason", "group_reason"), pl.coalesce("evidence", "group_evidence")
    return (
        table.with_row_index("row")
        .join(group, on="row", how="left", maintain_order="left")
        .select(
            subject="key",
            stage=pl.lit(SFT_STAGE),
            verdict=reason.replace_strict(VERDICTS, default=Verdict.DROP.value, return_dtype=pl.String),
            reason=reason.fill_null(Reason.PASSED.value),
            evidence=evidence.fill_null(NO_EVIDENCE),
            filter_version=pl.lit(recipe.version(SFT_RULES, VERSIONS)),
            source="source",
            domain="domain",
        )
    )


def broken_rules(
    attempts: Iterable[Attempt], recipe: SftDataRecipe, tasks: Iterable[Task] = (), overlaps: Iterable[Overlap] = ()
) -> dict[str, tuple[Finding, ...]]:
    """All rules on single attempts that each attempt breaks, by its key and in the order of the rules; () where none.

    Raises ValueError for an attempt that comes twice.
    """
    return {key: all_broken(case, recipe) for key, case in cases(attempts, tasks, overlaps).items()}


def cases(attempts: Iterable[Attempt], tasks: Iterable[Task] = (), overlaps: Iterable[Overlap] = ()) -> dict[str, Case]:
    """The attempts with what is known of them and their tasks, by key and in its order.

    Raises ValueError for an attempt that comes twice.
    """
    tools, held = {task.key: task.tools for task in tasks}, worst(overlaps)
    rows = _unique(attempts, lambda attempt: attempt.key)
    return {
        key: Case(row, tools.get(row.task_key, ()), held.get(key) or held.get(row.task_key) or ())
        for key, row in rows.items()
    }


def select_rl(
    tasks: Iterable[Task], difficulty: Iterable[Difficulty], recipe: RlDataRecipe, overlaps: Iterable[Overlap] = ()
) -> tuple[list[Task], list[Decision]]:
    """The tasks from which one student can learn, and a decision for each that came in; both by key.

    Each task is asked rule by rule; among those that pass, the histogram takes the largest subset of its shape.
    Raises ValueError for a task that comes twice or difficulties of more than one student.
    """
    rows = _unique(tasks, lambda task: task.key)
    measured, held = _of_one_student(difficulty), worst(overlaps)
    findings = {
        key: finding
        for key, row in rows.items()
        if (finding := _contaminated_task(held.get(key, ()), recipe) or _judge_task(row, measured.get(key), recipe))
    }
    findings |= _beyond_histogram({key: measured[key] for key in rows.keys() - findings.keys()}, recipe)
    version = recipe.version(RL_RULES)
    decisions = [
        _decision(key, RL_STAGE, findings.get(key), version, row.source, row.domain) for key, row in rows.items()
    ]
    return [row for key, row in rows.items() if key not in findings], decisions


def _unique(rows: Iterable[Row], key_of: Callable[[Row], str]) -> dict[str, Row]:
    """The rows by key, in its order."""
    listed = list(rows)
    twice = [key for key, count in Counter(map(key_of, listed)).items() if count > 1]
    if twice:
        raise ValueError(f"{min(twice)} comes more than once ({len(twice)} such keys): hand in every row once")
    return {key_of(row): row for row in sorted(listed, key=key_of)}


def _of_one_student(difficulty: Iterable[Difficulty]) -> dict[str, Difficulty]:
    measured = _unique(difficulty, lambda row: f"{row.task_key} for {row.policy.id}")
    students = sorted({row.policy.id for row in measured.values()})
    if len(students) > 1:
        raise ValueError(f"difficulties of {len(students)} students ({', '.join(students)}): hand in those of one")
    return {row.task_key: row for row in measured.values()}


@dataclass(frozen=True)
class NoVerifier(Evidence):
    """The task has nothing that could judge an answer."""

    verifier: None = None


@dataclass(frozen=True)
class GroupOutcome(Evidence):
    """How the student's attempts at the task came out."""

    attempts: int
    correct: int
    min_attempts: int


@dataclass(frozen=True)
class OutsideWindow(Evidence):
    """How likely the pass rate is in the recipe's window."""

    attempts: int
    correct: int
    probability: float
    min_probability: float


@dataclass(frozen=True)
class OverHistogram(Evidence):
    """The task's bucket, and its wanted share."""

    bucket: Bucket
    pass_rate: float
    share: float


def _contaminated_task(overlaps: Sequence[Overlap], recipe: RlDataRecipe) -> Finding | None:
    found = held_item(overlaps, recipe.min_item_share, recipe.min_item_similarity)
    return None if found is None else Finding(Reason.CONTAMINATED, found)


def _beyond_histogram(passed: Mapping[str, Difficulty], recipe: RlDataRecipe) -> dict[str, Finding]:
    """What the wanted histogram has no room for. Pass rates are measured here: rules before ask for attempts."""
    if recipe.histogram is None:
        return {}
    rates = {key: row.pass_rate for key, row in passed.items() if row.pass_rate is not None}
    chosen = to_histogram(rates, recipe.histogram)
    return {
        key: Finding(Reason.HISTOGRAM, OverHistogram(bucket_of(rate), rate, recipe.histogram.get(bucket_of(rate), 0.0)))
        for key, rate in rates.items()
        if key not in chosen
    }


def _judge_task(task: Task, difficulty: Difficulty | None, recipe: RlDataRecipe) -> Finding | None:
    """The first rule that the task breaks."""
    if task.verifier is None:
        return Finding(Reason.UNLABELLED, NoVerifier())
    n, c = (difficulty.num_attempts, difficulty.num_correct) if difficulty else (0, 0)
    seen = GroupOutcome(n, c, recipe.min_attempts)
    if n < recipe.min_attempts:
        return Finding(Reason.GROUP_TOO_SMALL, seen)
    if recipe.drop_uniform_groups and not informative([Outcome.CORRECT] * c + [Outcome.WRONG] * (n - c)):
        return Finding(Reason.GROUP_ALL_CORRECT if c else Reason.GROUP_ALL_WRONG, seen)
    return _outside_window(n, c, recipe)


def _outside_window(n: int, c: int, recipe: RlDataRecipe) -> Finding | None:
    """Whether the posterior gives the window too little: too easy, too hard, or too few attempts to tell."""
    posterior = BetaPosterior.from_counts(n, c)
    inside = posterior.probability_between(recipe.pass_rate_low, recipe.pass_rate_high)
    if inside >= recipe.min_probability:
        return None
    seen = OutsideWindow(n, c, inside, recipe.min_probability)
    if posterior.mean >= recipe.pass_rate_high:
        return Finding(Reason.TOO_EASY, seen)
    return Finding(Reason.TOO_HARD if posterior.mean <= recipe.pass_rate_low else Reason.GROUP_TOO_SMALL, seen)


def _decision(subject: str, stage: str, finding: Finding | None, version: str, source: str, domain: str) -> Decision:
    return Decision(
        subject=subject,
        stage=stage,
        verdict=Verdict.DROP if finding else Verdict.KEEP,
        reason=finding.reason if finding else Reason.PASSED,
        evidence=finding.evidence.canonical() if finding else NO_EVIDENCE,
        filter_version=version,
        source=source,
        domain=domain,
    )
