"""The rules against rows that were read: docs/rules.md states their precision and recall, and nothing gets worse unseen."""

from itertools import groupby

import pytest

from pipelines.store import PROJECT
from tests.pipelines.curation.read_rows import cases_of, figures, recorded_items, verdicts, wilson
from tests.recorded_data import DATA, needs_data


@needs_data
def test_the_figures_of_the_docs_are_those_of_the_rules(tmp_path):
    read = verdicts()
    cases = cases_of((row.source_ref for row in read), DATA / "trajectories", tmp_path, recorded_items(DATA / "tasks"))
    assert cases.keys() >= {row.source_ref for row in read}
    read.sort(key=lambda row: row.rule)
    lines = [figures(rule, list(rows), cases).line(rule) for rule, rows in groupby(read, key=lambda row: row.rule)]
    docs = (PROJECT / "docs" / "rules.md").read_text().splitlines()
    assert [line for line in lines if line not in docs] == []


def test_every_verdict_is_given_once_and_says_why():
    read = verdicts()
    assert len({(row.rule, row.source_ref) for row in read}) == len(read)
    assert all(row.why for row in read)


@pytest.mark.parametrize(
    ("successes", "trials", "interval"), [(10, 10, (0.7225, 1.0)), (0, 10, (0.0, 0.2775)), (5, 10, (0.2366, 0.7634))]
)
def test_wilson_by_hand(successes, trials, interval):
    """Newcombe 1998, table I."""
    assert wilson(successes, trials) == pytest.approx(interval, abs=1e-4)
