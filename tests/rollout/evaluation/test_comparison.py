"""Two policies, paired: against scipy and by hand."""

import numpy as np
import pytest
import scipy.stats

from rollout.evaluation.comparison import Pairing, compare
from rollout.statistics import bootstrap_interval
from tests.rollout.evaluation.made import group


def runs(counts):
    return [attempt for task, (right, wrong) in counts.items() for attempt in group(task, right, wrong)]


def test_wins_losses_and_tests_are_those_of_the_common_tasks():
    before = {"a": (0, 4), "b": (1, 3), "c": (2, 2), "d": (4, 0), "e": (0, 4), "only": (4, 0)}
    after = {"a": (2, 2), "b": (4, 0), "c": (3, 1), "d": (3, 1), "e": (0, 4), "other": (0, 4)}
    found = {c.figure: c for c in compare(runs(before), runs(after))}
    assert list(found) == ["avg", "pass@2", "pass@4", "pass^2", "pass^4", "maj@2", "maj@4"]
    avg = found["avg"]
    assert (avg.num_tasks, avg.wins, avg.losses) == (5, 3, 1)
    differences = [0.5, 0.75, 0.25, -0.25, 0.0]
    assert avg.difference == bootstrap_interval(differences, seed=0)
    assert (avg.first, avg.second) == (pytest.approx(7 / 20), pytest.approx(12 / 20))
    assert avg.sign_p == pytest.approx(scipy.stats.binomtest(3, 4).pvalue)
    theirs = scipy.stats.permutation_test((np.array(differences),), np.mean, permutation_type="samples")
    assert avg.permutation_p == pytest.approx(float(theirs.pvalue))
    assert (found["pass@4"].first, found["pass@4"].second) == (3 / 5, 4 / 5)


def test_the_other_way_round_the_difference_changes_its_sign_alone():
    before, after = runs({"a": (0, 4), "b": (1, 3), "c": (2, 2)}), runs({"a": (2, 2), "b": (4, 0), "c": (1, 3)})
    there, back = compare(before, after)[0], compare(after, before)[0]
    assert there.difference.mean == -back.difference.mean
    assert (there.wins, there.losses) == (back.losses, back.wins)
    assert (there.sign_p, there.permutation_p) == (back.sign_p, back.permutation_p)


def test_runs_without_a_common_task_are_no_comparison():
    assert compare(runs({"a": (1, 1)}), runs({"b": (1, 1)})) == []
    assert compare(runs({"a": (1, 1)}), []) == []


def test_by_item_the_same_problems_are_paired_although_their_tasks_differ():
    ours = runs({"a": (0, 4), "b": (1, 3), "c": (4, 0)})
    theirs = [
        attempt.model_copy(update={"task_key": f"{attempt.task_key}-with-tools"})
        for attempt in runs({"a": (2, 2), "b": (1, 3), "d": (4, 0)})
    ]
    assert compare(ours, theirs) == []
    [avg, *_] = compare(ours, theirs, Pairing.ITEM)
    assert (avg.num_tasks, avg.wins, avg.losses) == (2, 1, 0)
    assert (avg.first, avg.second) == (1 / 8, 3 / 8)


def test_an_item_that_one_run_asks_in_several_ways_cannot_be_paired():
    asked = runs({"a": (1, 1)})
    again = [attempt.model_copy(update={"task_key": "another prompt"}) for attempt in asked]
    with pytest.raises(ValueError, match=r"/a is asked in several ways in one run: pair by task"):
        compare(asked, asked + again, Pairing.ITEM)
