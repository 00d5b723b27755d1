"""Tables of results, for the terminal and as Markdown."""

import itertools
from collections.abc import Collection, Sequence

from data_contracts.manifests import EvaluationRow, Metric
from rollout.evaluation.tables import score_text, suite_name
from rollout.text_table import aligned, estimate, markdown, number

__all__ = ["HEADER", "ORDER", "aligned", "in_order", "markdown", "report_rows", "suite_table"]

HEADER = ("policy", "accuracy", "common", "scarce", "calls/attempt", "call success", "tokens/attempt", "tasks", "void")
ORDER = ("base", "sft", "sft, tool disabled", "rl")
"""Labels in the order of training; others follow."""


def report_rows(rows: Sequence[EvaluationRow]) -> list[tuple[str, ...]]:
    """One line per policy, in the order of training; accuracies with their 95 % intervals."""
    labels = in_order({row.label for row in rows})
    return [_line(label, {row.domain: row for row in rows if row.label == label}) for label in labels]


def in_order(labels: Collection[str]) -> list[str]:
    """Labels in the order of training; others follow."""
    return [label for label in (*ORDER, *sorted(set(labels) - set(ORDER))) if label in labels]


def suite_table(rows: Sequence[EvaluationRow]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and lines: every policy on all tasks of every suite, at the suite's largest k; clean items beside all items."""
    whole = [row for row in rows if row.domain == "all"]
    header = (
        "suite",
        "policy",
        "avg",
        *(metric.value for metric in Metric),
        "k",
        "clean items",
        "contaminated",
        "stops",
    )
    suites = dict.fromkeys(row.suite for row in whole)
    labels = in_order({row.label for row in whole})
    by_place = {(row.suite, row.label): row for row in whole}
    lines = [_suite_line(by_place[place]) for place in itertools.product(suites, labels) if place in by_place]
    return header, lines


def _suite_line(row: EvaluationRow) -> tuple[str, ...]:
    k = max((score.k for score in row.scores), default=1)
    clean = row.clean
    return (
        suite_name(row),
        row.label,
        estimate(row.accuracy),
        *(score_text(row, metric, k) if k > 1 else "" for metric in Metric),
        str(k),
        "not measured" if clean is None else estimate(clean.accuracy),
        "not measured" if clean is None else f"{clean.num_contaminated:,} of {row.num_tasks:,}",
        ", ".join(f"{stop.stop.value} {stop.num_attempts:,}" for stop in row.stops) or "none",
    )


def _line(label: str, by_domain: dict[str, EvaluationRow]) -> tuple[str, ...]:
    whole = by_domain["all"]
    accuracies = [
        estimate(by_domain[name].accuracy) if name in by_domain else "" for name in ("all", "common", "scarce")
    ]
    return (
        label,
        *accuracies,
        number(whole.calls_per_attempt, ".2f"),
        number(whole.call_success, ".1%"),
        number(whole.tokens_per_attempt, ".0f"),
        f"{whole.num_tasks:,}",
        f"{whole.num_void:,}",
    )
