"""Tables of results, for the terminal and as Markdown."""

from collections.abc import Sequence

from data_contracts.manifests import Estimate, EvaluationRow

HEADER = ("policy", "accuracy", "common", "scarce", "calls/attempt", "call success", "tokens/attempt", "tasks", "void")
ORDER = ("base", "sft", "sft, tool disabled", "rl")
"""Labels in the order of training; others follow."""


def report_rows(rows: Sequence[EvaluationRow]) -> list[tuple[str, ...]]:
    """One line per policy, in the order of training; accuracies with their 95 % intervals."""
    found = {row.label for row in rows}
    labels = [label for label in (*ORDER, *sorted(found - set(ORDER))) if label in found]
    return [_line(label, {row.domain: row for row in rows if row.label == label}) for label in labels]


def _line(label: str, by_domain: dict[str, EvaluationRow]) -> tuple[str, ...]:
    whole = by_domain["all"]
    accuracies = [
        estimate(by_domain[name].accuracy) if name in by_domain else "" for name in ("all", "common", "scarce")
    ]
    return (
        label,
        *accuracies,
        _number(whole.calls_per_attempt, ".2f"),
        _number(whole.call_success, ".1%"),
        _number(whole.tokens_per_attempt, ".0f"),
        f"{whole.num_tasks:,}",
        f"{whole.num_void:,}",
    )


def estimate(value: Estimate) -> str:
    """`.912 [.887, .935]`, or `not measured`."""
    if value.mean is None or value.low is None or value.high is None:
        return "not measured"
    return f"{_share(value.mean)} [{_share(value.low)}, {_share(value.high)}]"


def _share(value: float) -> str:
    text = f"{value:.3f}"
    return text.removeprefix("0") if text.startswith("0.") else text


def _number(value: float | None, form: str) -> str:
    return "not measured" if value is None else format(value, form)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *rows))


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, for a terminal."""
    widths = [max(len(line[i]) for line in (header, *rows)) for i in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (header, *rows)
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
