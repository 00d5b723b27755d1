"""What holds for all tests: one thread for torch, no network for hubs, and a file that names what was not run."""

import os
from collections import Counter
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

NOT_RUN = Path(__file__).parents[1] / "build" / "not-run.txt"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write how many tests were skipped, by reason, to build/not-run.txt: nothing is skipped in silence."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    text = "; ".join(f"{count} tests ({reason})" for reason, count in sorted(reasons.items())) or "nothing was skipped"
    NOT_RUN.parent.mkdir(exist_ok=True)
    NOT_RUN.write_text(text + "\n")
    terminalreporter.write_line(f"not run: {text}")
