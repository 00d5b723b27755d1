"""Own tasks from a file of questions."""

import json

import pytest

from data_contracts.tasks import Split
from pipelines.defs.task_sets import make_tasks
from pipelines.recipe import load_recipe
from pipelines.sources.questions import QuestionsRecipe, read_questions


def recipe(path, **fields) -> QuestionsRecipe:
    return QuestionsRecipe(path=str(path), licence="MIT", test_share=0.25, **fields)


def write(path, rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_questions_become_tasks_and_the_split_depends_on_the_text_alone(tmp_path):
    rows = [{"question": f"What is {n} + 1?", "answer": f"One more.\n#### {n + 1}"} for n in range(200)]
    write(tmp_path / "sums.jsonl", rows)
    write(tmp_path / "reversed.jsonl", rows[::-1])
    tasks = read_questions(recipe(tmp_path / "sums.jsonl", answer_after="####"), seed=0)
    again = read_questions(recipe(tmp_path / "reversed.jsonl", answer_after="####"), seed=0)
    assert {task.key: task.split for task in tasks} == {task.key: task.split for task in again}
    assert 30 <= sum(task.split is Split.TEST for task in tasks) <= 70
    assert {task.verifier.reference for task in tasks} == {str(n + 1) for n in range(200)}
    assert {(task.licence, task.domain) for task in tasks} == {("MIT", "sums")}


def test_equal_tasks_come_once(tmp_path):
    write(tmp_path / "a.jsonl", [{"question": "6 * 7?", "answer": 42}] * 3)
    assert len(read_questions(recipe(tmp_path / "a.jsonl"), seed=0)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"question": "6 * 7?"}', "a.jsonl:1: 'answer' is None"),
        ('{"question": " ", "answer": 42}', "a.jsonl:1: 'question' is ' '"),
        ('{"question"', "a.jsonl:1: not JSON"),
        ('{"question": "6 * 7?", "answer": "42"}', "no answer after '####'"),
    ],
)
def test_a_row_that_is_no_task_names_file_and_line(tmp_path, text, message):
    (tmp_path / "a.jsonl").write_text(text + "\n")
    with pytest.raises(ValueError, match=message):
        read_questions(recipe(tmp_path / "a.jsonl", answer_after="####" if "after" in message else None), seed=0)


def test_a_file_that_does_not_exist_is_one_message(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.jsonl' does not exist: name a"):
        read_questions(recipe(tmp_path / "nowhere.jsonl"), seed=0)


def test_a_recipe_reaches_them(tmp_path):
    write(tmp_path / "a.jsonl", [{"question": "6 * 7?", "answer": 42}])
    path = tmp_path / "own.toml"
    path.write_text(
        f'[tasks]\nsource = "questions"\nseed = 0\npath = "{tmp_path}/a.jsonl"\nlicence = "MIT"\ntest_share = 0.1\n'
    )
    assert [task.messages[0].content[:6] for task in make_tasks(load_recipe(str(path)))] == ["6 * 7?"]
