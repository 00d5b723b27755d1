"""Counts of decisions, and law 4."""

import pytest
from hypothesis import given, settings

from data_contracts.attempts import Outcome
from pipelines.curation.funnel import check_accounted, funnel
from pipelines.curation.recipes import SftDataRecipe
from pipelines.curation.selection import select_sft
from tests.pipelines.curation.made import attempt, attempt_lists


def test_a_funnel_counts_by_reason():
    rows = [attempt("a"), attempt("b"), attempt("c", outcome=Outcome.WRONG)]
    _, decisions = select_sft(rows, SftDataRecipe())
    assert funnel(decisions).rows() == [
        ("sft_dataset", "made", "d", "drop", "not_verified", 1),
        ("sft_dataset", "made", "d", "keep", "passed", 2),
    ]
    assert funnel(decisions, ("stage", "verdict")).rows() == [("sft_dataset", "drop", 1), ("sft_dataset", "keep", 2)]


def test_nothing_in_gives_an_empty_table_of_the_same_columns():
    assert funnel([]).columns == ["stage", "source", "domain", "verdict", "reason", "num_rows"]
    assert funnel([]).is_empty()


def test_unknown_columns_are_refused():
    with pytest.raises(ValueError, match="choose from stage"):
        funnel([], ("colour",))


@settings(deadline=None)
@given(attempt_lists())
def test_kept_and_dropped_are_all(attempts):
    _, decisions = select_sft(attempts, SftDataRecipe())
    assert funnel(decisions)["num_rows"].sum() == len(attempts)
    assert funnel(decisions[::-1]).equals(funnel(decisions))


def test_rows_that_vanish_appear_or_come_twice_are_named():
    _, decisions = select_sft([attempt("a"), attempt("b")], SftDataRecipe())
    check_accounted(["b", "a"], decisions)
    for subjects, out in ((["a", "b", "c"], decisions), (["a"], decisions), (["a", "b"], [*decisions, decisions[0]])):
        with pytest.raises(ValueError, match="every row must come out as one decision"):
            check_accounted(subjects, out)
