"""Drift between two revisions of a student."""

from random import Random

import pytest

from data_contracts.attempts import Outcome
from data_contracts.difficulty import Difficulty
from pipelines.curation.difficulty import measure_difficulty
from pipelines.curation.drift import drift, transition_table
from rollout.adaptive import Solved
from tests.pipelines.curation.made import attempt


def measured(rights: dict[str, int], n: int = 8) -> list[Difficulty]:
    outcomes = {key: [Outcome.CORRECT] * c + [Outcome.WRONG] * (n - c) for key, c in rights.items()}
    rows = [attempt(f"{key}{i}", key, outcome=one) for key, many in outcomes.items() for i, one in enumerate(many)]
    return measure_difficulty(rows)


def test_by_hand():
    found = drift(measured({"a": 0, "b": 4, "c": 8, "d": 3}), measured({"a": 8, "b": 4, "c": 0, "e": 1}))
    assert found is not None
    assert (found.num_tasks, found.easier, found.harder) == (3, 1, 1)
    assert found.change.mean == pytest.approx(0.0)
    assert found.transitions == {
        (Solved.NEVER, Solved.ALWAYS): 1,
        (Solved.SOMETIMES, Solved.SOMETIMES): 1,
        (Solved.ALWAYS, Solved.NEVER): 1,
    }
    assert found.still_mixed == 1.0
    assert transition_table(found) == [
        ("never", "0", "0", "1"),
        ("sometimes", "0", "1", "0"),
        ("always", "1", "0", "0"),
    ]


def test_a_student_does_not_drift_from_itself():
    rng = Random(0)
    rights = {str(i): rng.randint(0, 8) for i in range(40)}
    found = drift(measured(rights), measured(dict(reversed(rights.items()))))
    assert found is not None
    assert (found.easier, found.harder, found.still_mixed) == (0, 0, 1.0)
    assert (found.change.low, found.change.high) == (0.0, 0.0)


def test_without_common_tasks_nothing_is_said():
    assert drift(measured({"a": 1}), measured({"b": 1})) is None


def test_two_students_in_one_table_are_refused():
    rows = measured({"a": 1})
    with pytest.raises(ValueError, match="of one student"):
        drift(rows + rows, rows)
