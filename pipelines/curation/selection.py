"""Which attempts go to SFT and which tasks to RL: every row comes out as one decision, whatever the order of rows."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from data_contracts.attempts import Attempt, Outcome, StopReason
from data_contracts.decisions import Decision, Reason, Verdict
from data_contracts.difficulty import Difficulty
from data_contracts.ids import canonical_json
from data_contracts.tasks import Task
from pipelines.curation.duplicates import find_duplicates
from pipelines.curation.recipes import RlDataRecipe, SftDataRecipe
from rollout.statistics import BetaPosterior
from rollout.verdicts import all_calls_failed, informative, void_turn

SFT_STAGE, RL_STAGE = "sft_dataset", "rl_dataset"
SFT_RULES, RL_RULES = "sft-1", "rl-1"
TRUNCATED = frozenset({StopReason.LENGTH, StopReason.MAX_TURNS, StopReason.TOOL_OVERFLOW, StopReason.TOOL_TIMEOUT})

Row = TypeVar("Row")
Evidence = dict[str, str | int | float | bool | None]
Finding = tuple[Reason, Evidence]
"""Why a row goes, and what the rule saw."""


def select_sft(attempts: Iterable[Attempt], recipe: SftDataRecipe) -> tuple[list[Attempt], list[Decision]]:
    """The attempts to imitate, and a decision for each that came in; both by key.

    Each attempt is asked rule by rule; then duplicates among those that passed, then the quota of a task.
    Raises ValueError for an attempt that comes twice.
    """
    rows = _unique(attempts, lambda attempt: attempt.key)
    findings = {key: finding for key, row in rows.items() if (finding := _judge_attempt(row, recipe))}
    findings |= _duplicates([row for key, row in rows.items() if key not in findings], recipe)
    findings |= _over_quota([row for key, row in rows.items() if key not in findings], recipe)
    version = recipe.version(SFT_RULES)
    decisions = [
        _decision(key, SFT_STAGE, findings.get(key), version, row.source, row.domain) for key, row in rows.items()
    ]
    return [row for key, row in rows.items() if key not in findings], decisions


def select_rl(
    tasks: Iterable[Task], difficulty: Iterable[Difficulty], recipe: RlDataRecipe
) -> tuple[list[Task], list[Decision]]:
    """The tasks from which one student can learn, and a decision for each that came in; both by key.

    Raises ValueError for a task that comes twice or difficulties of more than one student.
    """
    rows = _unique(tasks, lambda task: task.key)
    measured = _of_one_student(difficulty)
    findings = {key: finding for key, row in rows.items() if (finding := _judge_task(row, measured.get(key), recipe))}
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


def _judge_attempt(attempt: Attempt, recipe: SftDataRecipe) -> Finding | None:
    """The first rule that the attempt breaks."""
    seen: Evidence = {"outcome": attempt.outcome.value, "stop": attempt.stop.value, "calls": len(attempt.calls())}
    if attempt.outcome is Outcome.VOID or attempt.stop is StopReason.ENVIRONMENT_ERROR:
        return Reason.VOID, seen
    if recipe.verified and attempt.outcome is Outcome.UNLABELLED:
        return Reason.UNLABELLED, seen | {"flags": ",".join(attempt.flags)}
    if recipe.drop_all_calls_failed and _breaks_c1(attempt, recipe):
        return Reason.ALL_CALLS_FAILED, seen
    if recipe.verified and attempt.outcome is not Outcome.CORRECT:
        return Reason.NOT_VERIFIED, seen
    if recipe.drop_truncated and attempt.stop in TRUNCATED:
        return Reason.TRUNCATED, seen
    if recipe.drop_void_turns and void_turn(attempt):
        return Reason.VOID_TURN, seen
    if recipe.needs_tool_call and not attempt.calls():
        return Reason.NO_TOOL_CALL, seen
    return None


def _breaks_c1(attempt: Attempt, recipe: SftDataRecipe) -> bool:
    return all_calls_failed(
        attempt, keep_without_call=recipe.keep_wrong_without_call, needs_output=recipe.success_needs_output
    )


def _duplicates(attempts: Sequence[Attempt], recipe: SftDataRecipe) -> dict[str, Finding]:
    found = find_duplicates(attempts) if recipe.drop_duplicates else {}
    return {key: (Reason.DUPLICATE, {"of": representative}) for key, representative in found.items()}


def _over_quota(attempts: Sequence[Attempt], recipe: SftDataRecipe) -> dict[str, Finding]:
    """Attempts beyond the quota of their task; `attempts` come by key."""
    if recipe.max_per_task is None:
        return {}
    by_task: defaultdict[str, list[str]] = defaultdict(list)
    for attempt in attempts:
        by_task[attempt.task_key].append(attempt.key)
    seen: Evidence = {"rule": "max_per_task", "max_per_task": recipe.max_per_task}
    return {key: (Reason.OVER_QUOTA, seen) for keys in by_task.values() for key in keys[recipe.max_per_task :]}


def _of_one_student(difficulty: Iterable[Difficulty]) -> dict[str, Difficulty]:
    measured = _unique(difficulty, lambda row: f"{row.task_key} for {row.policy.id}")
    students = sorted({row.policy.id for row in measured.values()})
    if len(students) > 1:
        raise ValueError(f"difficulties of {len(students)} students ({', '.join(students)}): hand in those of one")
    return {row.task_key: row for row in measured.values()}


def _judge_task(task: Task, difficulty: Difficulty | None, recipe: RlDataRecipe) -> Finding | None:
    """The first rule that the task breaks."""
    if task.verifier is None:
        return Reason.UNLABELLED, {"verifier": None}
    n, c = (difficulty.num_attempts, difficulty.num_correct) if difficulty else (0, 0)
    seen: Evidence = {"attempts": n, "correct": c}
    if n < recipe.min_attempts:
        return Reason.GROUP_TOO_SMALL, seen | {"min_attempts": recipe.min_attempts}
    if recipe.drop_uniform_groups and not informative([Outcome.CORRECT] * c + [Outcome.WRONG] * (n - c)):
        return (Reason.GROUP_ALL_CORRECT if c else Reason.GROUP_ALL_WRONG), seen
    return _outside_window(n, c, recipe)


def _outside_window(n: int, c: int, recipe: RlDataRecipe) -> Finding | None:
    """Whether the posterior gives the window too little: too easy, too hard, or too few attempts to tell."""
    posterior = BetaPosterior.from_counts(n, c)
    inside = posterior.probability_between(recipe.pass_rate_low, recipe.pass_rate_high)
    if inside >= recipe.min_probability:
        return None
    seen: Evidence = {"rule": "pass_rate_window", "attempts": n, "correct": c, "probability": inside}
    if posterior.mean >= recipe.pass_rate_high:
        return Reason.TOO_EASY, seen
    if posterior.mean <= recipe.pass_rate_low:
        return Reason.TOO_HARD, seen
    return Reason.GROUP_TOO_SMALL, seen


def _decision(subject: str, stage: str, finding: Finding | None, version: str, source: str, domain: str) -> Decision:
    reason, evidence = finding or (Reason.PASSED, {})
    return Decision(
        subject=subject,
        stage=stage,
        verdict=Verdict.DROP if finding else Verdict.KEEP,
        reason=reason,
        evidence=canonical_json(evidence),
        filter_version=version,
        source=source,
        domain=domain,
    )
