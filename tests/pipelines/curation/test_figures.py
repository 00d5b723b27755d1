"""Figures of a small set, computed by hand."""

from data_contracts.attempts import CallStatus, Outcome
from pipelines.curation.figures import attempt_table, group_figures, record_figures
from tests.pipelines.curation.made import attempt

OK, ERROR, UNKNOWN = CallStatus.OK, CallStatus.ERROR, CallStatus.UNKNOWN
ATTEMPTS = [
    attempt("a", "t1", Outcome.CORRECT, (OK, ERROR)),
    attempt("b", "t1", Outcome.WRONG, (ERROR, ERROR)),
    attempt("c", "t2", Outcome.CORRECT, ()),
    attempt("d", "t2", Outcome.CORRECT, (UNKNOWN,)),
    attempt("e", "t3", Outcome.VOID, ()),
]


def test_figures_over_records():
    figures = record_figures(attempt_table(ATTEMPTS))
    assert (figures["records"], figures["tasks"], figures["models"], figures["calls"]) == (5, 3, 1, 5)
    assert (figures["labelled%"], figures["success%"]) == (80.0, 75.0)
    assert (figures["calls mean"], figures["p50"], figures["max"], figures["zero-call%"]) == (1.0, 1.0, 2, 40.0)
    assert (figures["err/call%"], figures["traj w/ err%"], figures["success|err%"]) == (60.0, 40.0, 50.0)


def test_figures_over_groups():
    figures = group_figures(attempt_table(ATTEMPTS), ["task", "policy"])
    assert (figures["groups"], figures["all-correct%"], figures["all-wrong%"], figures["mixed%"]) == (
        2,
        50.0,
        0.0,
        50.0,
    )
    assert (figures["pass@1"], figures["pass@2"], figures["pass@4"]) == (75.0, 100.0, None)
    assert group_figures(attempt_table(ATTEMPTS[:1]), ["task"]) == {"groups": 0}


def test_nothing_to_divide_by_is_none():
    figures = record_figures(attempt_table([ATTEMPTS[4]]))
    assert (figures["success%"], figures["err/call%"], figures["success|err%"]) == (None, None, None)
    assert record_figures(attempt_table([]))["calls mean"] is None
