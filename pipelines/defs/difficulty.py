"""What tables of difficulty have in common: every attempt is accounted for, and the histogram is shown."""

from collections.abc import Sequence
from statistics import fmean

import dagster as dg

from data_contracts.attempts import Attempt, Outcome
from data_contracts.difficulty import Difficulty
from pipelines.curation.drift import drift, transition_table
from pipelines.defs.outcome import Check, Metadata
from pipelines.viewer.plots import histogram
from pipelines.viewer.tables import markdown
from rollout.adaptive import Solved

NUM_BINS = 8


def attempts_accounted(attempts: Sequence[Attempt], rows: Sequence[Difficulty]) -> Check:
    """Every attempt is in the posterior, void, dependent, or unlabelled."""
    counted = sum(row.num_attempts + row.num_void + row.num_dependent for row in rows)
    unlabelled = sum(attempt.outcome is Outcome.UNLABELLED for attempt in attempts)
    says = f"{len(attempts):,} attempts = {counted:,} counted, void or dependent + {unlabelled:,} unlabelled"
    return Check("accounted", counted + unlabelled == len(attempts), says)


def drift_metadata(before: Sequence[Difficulty], after: Sequence[Difficulty]) -> Metadata:
    """What has become of another student's verdicts on the same tasks; nothing where there are none."""
    found = drift(before, after)
    if found is None:
        return {}
    table = markdown(("before", *(v.value for v in Solved)), transition_table(found))
    return {
        "drift_from": before[0].policy.id,
        "drift_tasks": found.num_tasks,
        "drift_of_pass_rate": found.change.mean,
        "drift_low": found.change.low,
        "drift_high": found.change.high,
        "drift_easier": found.easier,
        "drift_harder": found.harder,
        "drift_still_mixed": found.still_mixed,
        "drift": dg.MetadataValue.md(table),
    }


def difficulty_metadata(rows: Sequence[Difficulty], student: str) -> Metadata:
    """Shares and the histogram of pass rates by domain."""
    rates = [row.pass_rate for row in rows if row.pass_rate is not None]
    by_domain: dict[str, list[float]] = {}
    for row in sorted(rows, key=lambda row: row.domain):
        if row.pass_rate is not None:
            by_domain.setdefault(row.domain, []).append(row.pass_rate)
    plot = histogram(f"Pass rate of {student}", "share of attempts that are right", by_domain, NUM_BINS)
    return {
        "num_tasks": len(rows),
        "measured": len(rates),
        "mean_pass_rate": fmean(rates) if rates else None,
        "all_right": sum(rate == 1 for rate in rates) / len(rates) if rates else None,
        "all_wrong": sum(rate == 0 for rate in rates) / len(rates) if rates else None,
        "plot": dg.MetadataValue.md(plot),
    }
