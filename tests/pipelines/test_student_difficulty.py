"""What the pipeline makes of a student's attempts: adaptively sampled ones, and those of a second student."""

import dagster as dg
import pytest

from data_contracts.attempts import Attempt, Outcome
from pipelines.curation.difficulty import measure_difficulty
from pipelines.defs.recipe_check import contradictions
from pipelines.defs.students import task_difficulty
from pipelines.defs.teacher import complete_check
from pipelines.recipe import load_recipe
from pipelines.resources import DatasetStore, RecipeResource
from pipelines.store import Store
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


def measure(folder, instance: dg.DagsterInstance, student: str, wrong: int):
    """The metadata of a student's difficulty: 8 attempts at one task, the first `wrong` of them wrong."""
    outcomes = [Outcome.WRONG] * wrong + [Outcome.CORRECT] * (8 - wrong)
    rows = [attempt(f"{student}{i}", "t", outcome=one) for i, one in enumerate(outcomes)]
    store = Store(folder)
    store.release("student_attempts", store.write("student_attempts", rows, Attempt), student)
    instance.add_dynamic_partitions("students", [student])
    resources = {"store": DatasetStore(root=str(folder)), "recipe": RecipeResource(name="embedded")}
    result = dg.materialize([task_difficulty], instance=instance, resources=resources, partition_key=student)
    return result.asset_materializations_for_node("task_difficulty")[0].metadata


def test_a_second_student_is_compared_with_the_one_measured_before(tmp_path):
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        first = measure(tmp_path / "data", instance, "sft-1", wrong=8)
        second = measure(tmp_path / "data", instance, "rl-2", wrong=0)
        again = measure(tmp_path / "data", instance, "sft-1", wrong=8)
    assert "drift" not in first
    assert second["drift_of_pass_rate"].value == pytest.approx(0.8, abs=1e-4)
    assert (second["drift_easier"].value, second["drift_tasks"].value) == (1, 1)
    assert "| never | 0 | 0 | 1 |" in second["drift"].value
    assert again["drift_of_pass_rate"].value == pytest.approx(-0.8, abs=1e-4)
