"""Suites: rows to questions, questions to tasks."""

import base64
import json
import os
import pickle
import random
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.tasks import Split, TaskLimits
from pipelines.sources.suites import SUITES, find_suite
from pipelines.sources.suites.live_code import read_live_code
from pipelines.sources.suites.loading import load_questions, question_items, suite_tasks
from rollout.rewards.judgement import Submission
from rollout.rewards.math import judge_math
from tests.recorded_data import DATA, needs_data

GPQA = {
    "Question": "Which particle carries the strong force?", "Correct Answer": "The gluon", "Incorrect Answer 1": "The photon",
    "Incorrect Answer 2": "The W boson", "Incorrect Answer 3": "The graviton", "Record ID": "rec1",
    "High-level domain": "Physics",
}  # fmt: skip
HUMANEVAL = {
    "task_id": "HumanEval/0", "prompt": "def add(a, b):\n    \"\"\"Add.\"\"\"\n", "canonical_solution": "    return a + b\n",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n", "entry_point": "add",
}  # fmt: skip
MBPP = {
    "task_id": 2, "text": "Write a function to add.", "test_setup_code": "import math", "challenge_test_list": [],
    "code": "import math\ndef helper(x):\n  return x\ndef add(a, b):\n  return a + b",
    "test_list": ["assert add(1, 2) == 3", "assert add(math.inf, 1) > 9"],
}  # fmt: skip
HMMT = {"problem_idx": 7, "problem": "Compute $1+1$.", "answer": "$2$", "problem_type": ["Algebra", "Number Theory"]}
AIME = {"id": 61, "problem": "Find $m + n$.", "answer": "113", "url": "", "year": "2024", "solution": "..."}


def packed(value: object) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


def live_row(**changes):
    tests = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
    row = {
        "question_id": "abc_a", "question_content": "Add two numbers.", "difficulty": "easy", "starter_code": "",
        "metadata": "{}", "public_test_cases": json.dumps(tests),
        "private_test_cases": packed(json.dumps([{"input": "5 5\n", "output": "10\n", "testtype": "stdin"}])),
    }  # fmt: skip
    return row | changes


def test_every_suite_says_where_it_lies_under_which_licence_and_what_it_allows():
    for name, suite in SUITES.items():
        assert (suite.name, suite.hub_id.count("/"), bool(suite.licence), bool(suite.ask)) == (name, 1, True, True)
    assert {name for name, suite in SUITES.items() if suite.redact} == {"aime24", "aime25", "amc23", "gpqa_diamond"}
    assert len(SUITES) == 12
    with pytest.raises(ValueError, match="did you mean 'math500'"):
        find_suite("math-500")


def test_options_stand_in_an_order_of_their_own_and_the_letter_is_the_right_one():
    question = SUITES["gpqa_diamond"].read(GPQA)
    turned = dict(reversed(GPQA.items()))
    assert question == SUITES["gpqa_diamond"].read(turned)
    assert f"({question.verifier.reference}) The gluon" in question.more
    letters = {
        SUITES["gpqa_diamond"].read(GPQA | {"Question": f"{n}. {GPQA['Question']}"}).verifier.reference
        for n in range(40)
    }
    assert letters == set("ABCD")
    with pytest.raises(ValueError, match="an option stands twice"):
        SUITES["gpqa_diamond"].read(GPQA | {"Incorrect Answer 1": "The gluon"})


def test_the_tests_of_functions_are_hidden_or_shown_as_their_suite_does():
    hidden = json.loads(SUITES["humaneval"].read(HUMANEVAL).verifier.reference)
    assert hidden["entry_points"] == {"candidate": "add"}
    assert hidden["setup"] == HUMANEVAL["prompt"]
    assert [set(check) for check in hidden["checks"]] == [{"source"}]
    shown = SUITES["mbpp"].read(MBPP)
    reference = json.loads(shown.verifier.reference)
    assert reference["entry_points"] == {"add": "add"}
    assert [check["public"] for check in reference["checks"]] == [True, True]
    assert "assert add(1, 2) == 3" in shown.more
    assert shown.name == "2"


@pytest.mark.parametrize(("suite", "row"), [("humaneval", HUMANEVAL), ("mbpp", MBPP)])
def test_the_reference_solution_passes_its_reference_and_a_wrong_one_does_not(suite, row):
    """Our own three lines of code, run here."""
    reference = json.loads(SUITES[suite].read(row).verifier.reference)
    right = row.get("code") or row["prompt"] + row["canonical_solution"]
    run_reference(reference, right)
    with pytest.raises(AssertionError):
        run_reference(reference, right.replace("a + b", "a - b"))


def run_reference(reference, solution):
    """What the form of a reference means, in its plainest reading."""
    for check in reference["checks"]:
        space: dict[str, object] = {}
        exec(reference.get("setup", ""), space)
        theirs: dict[str, object] = {}
        exec(solution, theirs)
        space |= {name: eval(expression, theirs) for name, expression in reference["entry_points"].items()}
        exec(check["source"], space)


def test_programs_have_public_and_hidden_tests():
    question = read_live_code(live_row())
    assert json.loads(question.verifier.reference) == {
        "programs": [{"stdin": "1 2\n", "stdout": "3\n", "public": True}, {"stdin": "5 5\n", "stdout": "10\n"}]
    }
    assert (question.name, question.domain) == ("abc_a", "easy")


def test_methods_are_called_with_one_argument_a_line():
    tests = json.dumps([{"input": '[1, 2]\n"x"', "output": "true", "testtype": "functional"}])
    question = read_live_code(
        live_row(
            metadata='{"func_name": "f"}',
            starter_code="class Solution:",
            public_test_cases=tests,
            private_test_cases=tests,
        )
    )
    reference = json.loads(question.verifier.reference)
    assert reference["entry_points"] == {"f": "Solution().f"}
    assert reference["checks"][0] == {"source": "assert f([1, 2], 'x') == True", "public": True}
    run_reference(reference, "class Solution:\n    def f(self, a, b):\n        return len(a) == 2 and b == 'x'")


class Command:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        (packed(Command()), "holds posix.system where only text belongs"),
        ("@@", "Non-base64|Only base64|Incorrect padding|Invalid"),
        (base64.b64encode(b"none").decode(), "neither JSON nor base64 of a packed text"),
        (base64.b64encode(zlib.compress(pickle.dumps("[]")[:-1])).decode(), "neither JSON nor base64"),
    ],
)
def test_packed_tests_that_are_not_text_are_refused(tmp_path, tests, words):
    (tmp_path / "t.jsonl").write_text(json.dumps(live_row(private_test_cases=tests)) + "\n")
    with pytest.raises(ValueError, match=rf"livecodebench_v6: .*t.jsonl:1: .*({words})"):
        load_questions(SUITES["livecodebench_v6"], tmp_path / "t.jsonl")


def test_a_local_copy_is_a_file_of_lines_a_parquet_file_or_a_folder(tmp_path):
    rows = [AIME, AIME | {"problem": "Find $n$."}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tmp_path / "clone" / "data"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-00000-of-00001.parquet")
    suite = SUITES["aime24"]
    found = [load_questions(suite, tmp_path / place) for place in ("a.jsonl", "a.parquet", "clone")]
    assert found[0] == found[1] == found[2]
    assert [question.name for question in found[0]] == ["61", "61:2"]


def test_tasks_are_test_tasks_with_the_tool():
    suite = SUITES["hmmt25"]
    questions = [suite.read(HMMT)]
    limits = TaskLimits(max_turns=2, max_calls=1, max_tokens=99)
    (task,) = suite_tasks(suite, questions, limits)
    assert (task.split, task.source, task.source_id, task.domain) == (Split.TEST, "hmmt25", "7", "Algebra")
    assert (task.verifier.name, task.verifier.reference, task.limits, task.licence) == (
        "math",
        "2",
        limits,
        suite.licence,
    )
    assert task.messages[0].content == "Compute $1+1$.\n\nGive the final answer in \\boxed{}."
    assert [tool.name for tool in task.tools] == ["python"]
    assert [(item.name, item.text) for item in question_items(suite, questions)] == [("hmmt25/7", "Compute $1+1$.")]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"problem": "?"}', "a.jsonl:1: no answer"),
        ('{"answer": "2"}', "a.jsonl:1: no question: the row needs one of the keys problem"),
        ("{", "a.jsonl:1: not JSON"),
        ("", "holds no rows"),
    ],
)
def test_a_row_that_is_no_question_names_file_and_line(tmp_path, row, words):
    (tmp_path / "a.jsonl").write_text(f"{row}\n")
    with pytest.raises(ValueError, match=words):
        load_questions(SUITES["math500"], tmp_path / "a.jsonl")
    with pytest.raises(FileNotFoundError, match="name a copy of HuggingFaceH4/MATH-500"):
        load_questions(SUITES["math500"], tmp_path / "b.jsonl")


FILES = {
    "aime24": "aime24", "aime25": "aime25", "amc23": "amc23", "math500": "math500", "minerva": "minerva_math",
    "olympiadbench": "olympiadbench_en_text", "gsm8k": "gsm8k_test", "humaneval": "humaneval", "mbpp": "mbpp",
}  # fmt: skip
NUMBERS = {
    "aime24": 10, "aime25": 18, "amc23": 22, "math500": 235, "minerva": 142, "olympiadbench": 335, "gsm8k": 621,
    "humaneval": 92, "mbpp": 480,
}  # fmt: skip
UNREADABLE = {"minerva": {"112"}}
"""The reference takes math-verify longer than its time limit: attempts at it stay unlabelled, or are right by text."""


@needs_data
@pytest.mark.parametrize("name", FILES)
def test_copies_at_hand_become_tasks_whose_own_reference_is_right(name):
    suite = SUITES[name]
    questions = load_questions(suite, DATA / "tasks" / f"{FILES[name]}.jsonl.gz")
    tasks = suite_tasks(suite, questions)
    assert (len(questions), len({task.key for task in tasks})) == (NUMBERS[name], NUMBERS[name])
    for question in random.Random(0).sample(questions, min(60, len(questions))):
        if question.verifier.name == "math" and question.name not in UNREADABLE.get(name, ()):
            reference = question.verifier.reference
            assert judge_math(Submission(f"It is \\boxed{{{reference}}}.", reference, {}, "")).strict is True, (
                question.name
            )
