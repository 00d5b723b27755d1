"""What a set of attempts looks like: records, success, calls, errors, groups, pass@k. For display and for comparison."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

import polars as pl

from data_contracts.attempts import MODEL_FAILURES, TOOL_FAILURES, Attempt, Outcome
from rollout.statistics import mean_over_groups, pass_at_k

PASS_AT = (1, 2, 4, 8)
MIN_SHARE = 0.5
"""pass@k is None where fewer than this share of the groups has k attempts."""

Number = int | float | Decimal
"""What polars types a sum as."""
Figures = dict[str, Number | None]
SCHEMA = {"task": pl.String, "policy": pl.String, "success": pl.Boolean, "calls": pl.Int64, "failed": pl.Int64}


def success_of(attempt: Attempt) -> bool | None:
    """Right or wrong; None where nobody knows or there was no attempt."""
    return {Outcome.CORRECT: True, Outcome.WRONG: False}.get(attempt.outcome)


def attempt_table(
    attempts: Iterable[Attempt],
    task_of: Callable[[Attempt], str] = lambda attempt: attempt.task_key,
    success: Callable[[Attempt], bool | None] = success_of,
) -> pl.DataFrame:
    """One row per attempt: task, policy, success (null: unlabelled), number of calls, and of those that failed."""
    failures = MODEL_FAILURES | TOOL_FAILURES
    rows = [
        (task_of(a), a.policy.id, success(a), len(a.calls()), sum(call.status in failures for call in a.calls()))
        for a in attempts
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def record_figures(table: pl.DataFrame) -> Figures:
    """Figures over the rows of an `attempt_table`; shares in percent, None where there is nothing to divide by."""
    calls, labelled = table["calls"], table["success"].drop_nulls()
    return {
        "records": table.height,
        "tasks": table["task"].n_unique(),
        "models": table["policy"].n_unique(),
        "labelled%": _percent(len(labelled), table.height),
        "success%": _percent(labelled.sum(), len(labelled)),
        "calls mean": _ratio(calls.sum(), table.height),
        "p50": calls.quantile(0.5, "linear"),
        "p90": calls.quantile(0.9, "linear"),
        "max": table.select(pl.col("calls").max()).item(),
        "zero-call%": _percent((calls == 0).sum(), table.height),
        "calls": calls.sum(),
        "err/call%": _percent(table["failed"].sum(), calls.sum()),
        "traj w/ err%": _percent((table["failed"] > 0).sum(), table.height),
        "success|err%": _success_after_error(table),
    }


def group_figures(table: pl.DataFrame, by: Sequence[str]) -> Figures:
    """Figures over the groups with at least two labelled attempts; `by` is e.g. ("task", "policy")."""
    labelled = table.drop_nulls("success").group_by(list(by)).agg(n=pl.len(), c=pl.col("success").sum())
    groups = labelled.filter(pl.col("n") >= 2).sort(list(by))
    n, c = groups["n"], groups["c"]
    if not len(n):
        return {"groups": 0}
    counts_P = list(zip(n.to_list(), c.to_list(), strict=True))
    return {
        "groups": len(n),
        "n/group med": n.quantile(0.5, "linear"),
        "n max": groups.select(pl.col("n").max()).item(),
        "all-correct%": _percent((c == n).sum(), len(n)),
        "all-wrong%": _percent((c == 0).sum(), len(n)),
        "mixed%": _percent(((c > 0) & (c < n)).sum(), len(n)),
        **{f"pass@{k}": _scaled(mean_over_groups(pass_at_k, counts_P, k, MIN_SHARE)) for k in PASS_AT},
    }


def _success_after_error(table: pl.DataFrame) -> float | None:
    erring = table.filter(pl.col("failed") > 0)["success"].drop_nulls()
    return _percent(erring.sum(), len(erring))


def _ratio(part: Number, whole: Number) -> float | None:
    return float(part) / float(whole) if whole else None


def _percent(part: Number, whole: Number) -> float | None:
    return _scaled(_ratio(part, whole))


def _scaled(share: float | None) -> float | None:
    return None if share is None else 100.0 * share
