"""What the pipeline makes of adaptively sampled attempts."""

import pytest

from data_contracts.attempts import Outcome
from pipelines.curation.difficulty import measure_difficulty
from pipelines.defs.recipe_check import contradictions
from pipelines.defs.teacher import complete_check
from pipelines.recipe import load_recipe
from tests.pipelines.curation.made import attempt

ADAPTIVE = {"num_attempts": 8, "adaptive": {"first": 2}}


def attempts(number: int, task_key: str = "t"):
    outcomes = [Outcome.WRONG, *[Outcome.CORRECT] * (number - 1)]
    return [attempt(f"{task_key}{i}", task_key, outcome=outcome) for i, outcome in enumerate(outcomes)]


def test_what_stopping_on_outcomes_biases_is_not_measured():
    (fixed,), (early,) = (measure_difficulty(attempts(4), stopped_early=early) for early in (False, True))
    assert (fixed.pass_at_2, fixed.pass_at_4) == (1.0, 1.0)
    assert (early.pass_at_2, early.pass_at_4, early.stopped_early) == (None, None, True)
    assert (early.posterior_alpha, early.posterior_beta) == (fixed.posterior_alpha, fixed.posterior_beta) == (4, 2)


@pytest.mark.parametrize(("number", "table", "complete"), [
    (8, {"num_attempts": 8}, True), (7, {"num_attempts": 8}, False), (9, {"num_attempts": 8}, False),
    (2, ADAPTIVE, True), (8, ADAPTIVE, True), (1, ADAPTIVE, False), (9, ADAPTIVE, False),
])  # fmt: skip
def test_a_task_has_as_many_attempts_as_the_table_allows(number, table, complete):
    assert complete_check(attempts(number), {"t"}, table).passed is complete


def test_attempts_at_a_task_that_was_not_asked_for_are_odd():
    assert not complete_check(attempts(8) + attempts(8, "other"), {"t"}, {"num_attempts": 8}).passed


def test_a_filter_that_would_drop_early_verdicts_is_a_contradiction():
    slip = load_recipe("embedded", ["difficulty.adaptive.first=2"])
    assert "lower min_attempts to 2" in next(contradictions(slip))
    mended = load_recipe("embedded", ["difficulty.adaptive.first=2", "rl_data.min_attempts=2"])
    assert list(contradictions(mended)) == []
