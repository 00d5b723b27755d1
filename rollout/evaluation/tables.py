"""What a report says, as tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data_contracts.manifests import EvaluationRow, Metric
from rollout.evaluation.comparison import Comparison
from rollout.text_table import aligned, estimate, markdown, number, share

Layout = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
INTERVALS = "95 % bootstrap intervals over tasks"


@dataclass(frozen=True)
class Table:
    """Title, header and lines."""

    title: str
    header: tuple[str, ...]
    lines: Sequence[tuple[str, ...]]

    def text(self) -> str:
        """For a terminal."""
        return f"{self.title}\n{aligned(self.header, self.lines)}"


def report_text(rows: Sequence[EvaluationRow]) -> str:
    """The report for a terminal."""
    return "\n\n".join(table.text() for table in report_tables(rows))


def report_markdown(rows: Sequence[EvaluationRow]) -> str:
    """The report as Markdown."""
    parts = [f"## {table.title}\n\n{markdown(table.header, table.lines)}\n" for table in report_tables(rows)]
    return "\n".join(parts)


def report_tables(rows: Sequence[EvaluationRow]) -> list[Table]:
    """Scores at the largest k by domain; behaviour by domain; all k for all tasks; clean items where they are known."""
    whole = next(row for row in rows if row.domain == "all")
    name = f"{whole.label} on {suite_name(whole)}"
    tables = [_scores(name, rows, whole), _behaviour(name, rows)]
    if whole.scores:
        tables.append(_over_k(name, whole))
    if whole.clean is not None:
        tables.append(_clean(name, rows))
    return tables


def suite_name(row: EvaluationRow) -> str:
    """With its revision, shortened: `aime24 at 0123456789ab`."""
    return row.suite if row.suite_revision is None else f"{row.suite} at {row.suite_revision[:12]}"


def _scores(name: str, rows: Sequence[EvaluationRow], whole: EvaluationRow) -> Table:
    k = max((score.k for score in whole.scores), default=1)
    metrics = [metric for metric in Metric if k > 1]
    header = ("domain", "tasks", "void", f"avg@{k}", "lenient", *(at(metric, k) for metric in metrics))
    lines = [
        (
            row.domain,
            f"{row.num_tasks:,}",
            f"{row.num_void:,}",
            estimate(row.accuracy),
            estimate(row.accuracy_lenient),
            *(score_text(row, metric, k) for metric in metrics),
        )
        for row in rows
    ]
    return Table(f"{name}: scores, {INTERVALS}", header, lines)


def at(metric: Metric, k: int) -> str:
    """`pass@8`."""
    return metric.value.removesuffix("k") + str(k)


def score_text(row: EvaluationRow, metric: Metric, k: int) -> str:
    """A figure with its interval, or `not measured`."""
    found = [score.estimate for score in row.scores if (score.metric, score.k) == (metric, k)]
    return estimate(found[0]) if found else "not measured"


def _behaviour(name: str, rows: Sequence[EvaluationRow]) -> Table:
    header = ("domain", "attempts", "calls/attempt", "call success", "tokens/attempt", "truncated", "stops")
    lines = [
        (
            row.domain,
            f"{row.num_attempts:,}",
            number(row.calls_per_attempt, ".2f"),
            number(row.call_success, ".1%"),
            number(row.tokens_per_attempt, ",.0f"),
            number(row.truncated, ".1%"),
            ", ".join(f"{stop.stop.value} {stop.num_attempts:,}" for stop in row.stops) or "none",
        )
        for row in rows
    ]
    return Table(f"{name}: calls, tokens and why attempts ended", header, lines)


def _over_k(name: str, whole: EvaluationRow) -> Table:
    ks = sorted({score.k for score in whole.scores})
    lines = [(str(k), *(score_text(whole, metric, k) for metric in Metric)) for k in ks]
    return Table(f"{name}: over k attempts, all tasks", ("k", *(metric.value for metric in Metric)), lines)


def _clean(name: str, rows: Sequence[EvaluationRow]) -> Table:
    header = ("domain", "all items", "clean items", "contaminated", "share")
    lines = [
        (
            row.domain,
            estimate(row.accuracy),
            estimate(row.clean.accuracy),
            f"{row.clean.num_contaminated:,} of {row.num_tasks:,}",
            f"{row.clean.share:.1%}",
        )
        for row in rows
        if row.clean is not None
    ]
    least = max(row.clean.min_item_share for row in rows if row.clean is not None)
    return Table(f"{name}: items of which the training data holds at least {least:.0%} of the words", header, lines)


def comparison_table(names: tuple[str, str], comparisons: Sequence[Comparison]) -> Table:
    """Two policies beside each other."""
    header = ("figure", "tasks", *names, "difference", "wins", "losses", "sign p", "permutation p")
    lines = [
        (
            c.figure,
            f"{c.num_tasks:,}",
            share(c.first),
            share(c.second),
            f"{share(c.difference.mean)} [{share(c.difference.low)}, {share(c.difference.high)}]",
            f"{c.wins:,}",
            f"{c.losses:,}",
            f"{c.sign_p:.3g}",
            f"{c.permutation_p:.3g}",
        )
        for c in comparisons
    ]
    return Table(f"{names[1]} - {names[0]}, paired by task, {INTERVALS}", header, lines)
