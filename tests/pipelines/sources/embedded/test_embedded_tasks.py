"""The embedded tasks: one seed, one set of tasks; train and test share nothing; the teacher gets few scarce ones."""

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data_contracts.tasks import Split
from pipelines.sources.embedded import FAMILIES, TasksRecipe, generate, scarce_families, teacher_tasks

RECIPE = TasksRecipe(num_train=700, num_test_per_family=40, scarce_share=0.6, num_scarce_for_teacher=12)


def question(task):
    return task.messages[0].content


def substance(task):
    """The question without names and things: the words that no phrasing needs."""
    return re.sub(
        r"\b[A-Z][a-z]{2}\b|\b(shells|coins|pens|cards|books|eggs|beads|stamps|apples|nuts)\b", "_", question(task)
    )


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_equal_seeds_give_equal_tasks_and_no_problem_comes_twice(seed):
    tasks = generate(RECIPE, seed)
    assert generate(RECIPE, seed) == tasks
    assert len({question(task) for task in tasks}) == len({task.key for task in tasks}) == len(tasks)
    assert len({task.source_id for task in tasks}) == len(tasks)


def test_other_seeds_give_other_tasks():
    first, second = ({task.key for task in generate(RECIPE, seed)} for seed in (0, 1))
    assert len(first & second) < 0.2 * len(first)


def test_test_tasks_differ_from_train_tasks_in_more_than_names():
    tasks = generate(RECIPE, 3)
    assert Counter(map(substance, tasks)).most_common(1)[0][1] == 1


def test_more_train_tasks_leave_the_test_tasks_as_they_are():
    larger = RECIPE.model_copy(update={"num_train": 900})
    few, many = ([t for t in generate(recipe, 5) if t.split is Split.TEST] for recipe in (RECIPE, larger))
    assert few == many


def test_counts_follow_the_recipe():
    tasks = generate(RECIPE, 0)
    train = [task for task in tasks if task.split is Split.TRAIN]
    assert len(train) == 700
    assert sum(task.domain in scarce_families() for task in train) == 420
    assert Counter(t.domain for t in tasks if t.split is Split.TEST) == {family.name: 40 for family in FAMILIES}


def test_every_phrasing_is_asked_equally_often():
    asked = Counter(
        re.sub(r"\d+(, \d+)*", "#", substance(task)) for task in generate(RECIPE, 0) if task.domain == "three_step"
    )
    assert len(asked) == 4
    assert max(asked.values()) - min(asked.values()) <= 1


def test_a_task_shows_no_answer_and_has_one_tool():
    for task in generate(RECIPE, 0):
        assert [message.role.value for message in task.messages] == ["user"]
        assert [tool.name for tool in task.tools] == ["python"]
        assert task.verifier is not None
        assert int(task.verifier.reference) >= 0 or task.domain == "balance"


def test_balances_fall_on_both_sides_of_zero():
    answers = [int(task.verifier.reference) for task in generate(RECIPE, 0) if task.domain == "balance"]
    assert 0.3 < sum(answer < 0 for answer in answers) / len(answers) < 0.7


def test_the_teacher_gets_all_common_and_few_scarce_train_tasks_in_any_order():
    tasks = generate(RECIPE, 0)
    chosen = teacher_tasks(tasks, RECIPE)
    per_domain = Counter(task.domain for task in chosen)
    scarce = {domain: n for domain, n in per_domain.items() if domain in scarce_families()}
    assert sum(per_domain.values()) == 280 + 12
    assert sum(scarce.values()) == 12
    assert max(scarce.values()) - min(scarce.values()) <= 1
    assert all(task.split is Split.TRAIN for task in chosen)
    assert teacher_tasks(tasks[::-1], RECIPE) == chosen


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_tests": 3}, "num_tests"),
        ({"num_train": 0}, "num_train"),
        ({"scarce_share": 1.5}, "scarce_share"),
        ({"num_scarce_for_teacher": 421}, "num_scarce_for_teacher=421"),
    ],
)
def test_a_bad_recipe_is_refused_by_name(changes, words):
    with pytest.raises(ValidationError, match=words):
        TasksRecipe(**(RECIPE.model_dump() | changes))


def test_a_family_that_is_used_up_says_so():
    with pytest.raises(ValueError, match=r"no new numbers left for .* lower num_train"):
        generate(RECIPE.model_copy(update={"num_train": 40_000}), 0)
