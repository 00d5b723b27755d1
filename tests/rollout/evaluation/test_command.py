"""`python -m rollout eval` and `compare`: a real server, a real checkpoint, what is written and what is not."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from data_contracts.attempts import Attempt
from data_contracts.manifests import EvaluationRow, RunResult
from data_contracts.overlaps import Overlap
from data_contracts.scores import ScoredAttempt
from data_contracts.storage import read_dataset, write_dataset
from data_contracts.tasks import Task, TaskLimits
from rollout.evaluation import command, compare_command
from rollout.process import guarded
from tests.rollout.test_sampling import checkpoint_in
from tests.servers import model_server
from tests.tiny import make_task
from tests.written import runs_of_words, written_texts

QUESTION = "A very particular gardener plants {} rows of seven tulips and asks the mayor how many tulips there are now"
"""The server calls the tool for 91 and answers it: right for thirteen rows only."""
LIMITS = TaskLimits(max_turns=4, max_calls=3, max_tokens=4000, max_result_tokens=48)


def exam(count: int = 3) -> list[Task]:
    return [
        make_task(QUESTION.format(n), str(7 * n), source="exam", source_id=str(n), limits=LIMITS, domain=f"d{n % 2}")
        for n in range(13, 13 + count)
    ]


def tasks_file(folder: Path, tasks: list[Task]) -> Path:
    path = folder / "exam.jsonl"
    path.write_text("".join(f"{task.canonical()}\n" for task in tasks))
    return path


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """In this process: exit status and output."""
    (name, *given), out, err = list(map(str, words)), io.StringIO(), io.StringIO()
    main = {"eval": command.main, "compare": compare_command.main}[name]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = guarded(lambda: main(given))
    return subprocess.CompletedProcess(given, code, out.getvalue(), err.getvalue())


def run_apart(*words: object) -> subprocess.CompletedProcess[str]:
    """In a process of its own, as a user does."""
    started = [sys.executable, "-m", "rollout", *map(str, words)]
    return subprocess.run(started, capture_output=True, text=True, check=False, timeout=240)


def asked(folder: Path, server: str, *more: object, output: str = "out", by=run) -> subprocess.CompletedProcess[str]:
    given = [tasks_file(folder, exam()), "--output", folder / output, "--server", server, "--model", "tiny"]
    return by("eval", *given, "--attempts", 2, "--temperature", 1, "--seed", 0, *more)


def result(folder: Path) -> dict[str, Path]:
    outputs = RunResult.from_json((folder / "result.json").read_text()).outputs
    return {out.name: folder / out.path for out in outputs}


def rows_of(folder: Path) -> dict[str, EvaluationRow]:
    lines = (folder / "report.jsonl").read_text().splitlines()
    return {row.domain: row for row in map(EvaluationRow.from_json, lines)}


def python(code: str) -> str:
    """A function in place of the sandbox."""
    return f"read: {code}"


def test_a_recipe_says_what_stands_behind_the_tools(tmp_path):
    recipe = tmp_path / "tools.toml"
    recipe.write_text(f'[tools.python]\nkind = "function"\nfunction = "{__name__}:python"\n')
    with model_server() as server:
        done = asked(tmp_path, server.base_url, "--tools", recipe)
    assert done.returncode == 0, done.stderr
    assert "[evaluate tiny on " in done.stderr
    attempts = read_dataset(result(tmp_path / "out")["attempts"], Attempt)
    assert {call.result.split(":")[0] for attempt in attempts for call in attempt.calls()} == {"read"}


def test_all_tasks_declare_the_tools_that_are_named(tmp_path):
    recipe = tmp_path / "tools.toml"
    recipe.write_text('[tools.gcd]\nkind = "function"\nfunction = "tests.rollout.tools.test_registry:gcd"\n')
    with model_server() as server:
        done = asked(tmp_path, server.base_url, "--tools", recipe, "--declare", "gcd", "--declare", "python")
        assert done.returncode == 0, done.stderr
        assert [tool["function"]["name"] for tool in server.requests[0]["tools"]] == ["gcd", "python"]
        slip = asked(tmp_path, server.base_url, "--declare", "pyhton", output="slip")
        assert (slip.returncode, "--declare names 'pyhton'" in slip.stderr, "did you mean" in slip.stderr) == (
            2,
            True,
            True,
        )
        both = asked(tmp_path, server.base_url, "--declare", "python", "--tool", "none", output="slip")
        assert (both.returncode, "contradict each other" in both.stderr) == (2, True)


def leaks(folder: Path) -> bool:
    """Whether any run of eight words of any question stands in what was written."""
    runs = set().union(*(runs_of_words(task.messages[0].content) for task in exam()))
    assert runs
    return any(part in " ".join(text.split()) for text in written_texts(folder) for part in runs)


@pytest.fixture(scope="module")
def served():
    with model_server() as server:
        yield server


@pytest.fixture(scope="module")
def finished(served, tmp_path_factory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("eval")
    done = asked(folder, served.base_url)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_a_server_is_evaluated_with_tools_and_the_table_says_so(finished):
    folder, printed = finished
    assert "tiny on exam: 3 tasks x 2 = 6 attempts, at most 24,000 tokens" in printed
    assert printed.count("not measured") == 3  # a chat server tells no token ids: tokens of `all`, d0 and d1
    rows = rows_of(folder / "out")
    assert (rows["all"].accuracy.mean, rows["d1"].accuracy.mean) == (pytest.approx(1 / 3), 0.5)
    assert (rows["all"].calls_per_attempt, rows["all"].call_success) == (1.0, 1.0)
    assert (folder / "out" / "report.md").read_text().startswith("## tiny on exam: scores, 95 %")
    attempts = read_dataset(result(folder / "out")["attempts"], Attempt)
    assert len(attempts) == 6
    assert leaks(folder / "out")  # the scan of the redaction test finds what is there
    stored = read_dataset(result(folder / "out")["report"], EvaluationRow)
    assert sorted(row.canonical() for row in stored) == sorted(row.canonical() for row in rows.values())


def test_a_second_call_asks_the_server_nothing(finished, served):
    folder, printed = finished
    before = len(served.requests)
    again = asked(folder, served.base_url, by=run_apart)
    assert again.returncode == 0, again.stderr
    assert "6 of them are there already" in again.stdout
    assert printed.partition("\n\n")[2] == again.stdout.partition("\n\n")[2]
    assert len(served.requests) == before


def test_a_suite_that_is_not_to_be_republished_leaves_hashes_and_scores(finished, served):
    folder, _ = finished
    done = asked(folder, served.base_url, "--redact", output="hidden")
    assert done.returncode == 0, done.stderr
    hidden = folder / "hidden"
    assert not leaks(hidden)
    assert set(result(hidden)) == {"scores", "report"}
    assert rows_of(hidden) == rows_of(folder / "out")
    open_scores = read_dataset(result(folder / "out")["scores"], ScoredAttempt)
    assert read_dataset(result(hidden)["scores"], ScoredAttempt) == open_scores
    assert leaks(folder / "out")


def test_without_a_tool_none_is_declared(finished, served):
    folder, _ = finished
    done = asked(folder, served.base_url, "--tool", "none", "--limit", 1, output="plain")
    assert done.returncode == 0, done.stderr
    assert "tools" not in served.requests[-1]
    assert rows_of(folder / "plain")["all"].num_tasks == 1


def test_contaminated_items_stand_beside_the_score(finished, served):
    folder, _ = finished
    overlap = Overlap(key="row", item="exam/13", shared_words=20, row_share=0.5, item_share=1.0, covered_share=0.5)
    overlaps, _ = write_dataset(folder, "overlaps", [overlap], Overlap)
    before = len(served.requests)
    done = asked(folder, served.base_url, "--overlaps", overlaps)
    assert done.returncode == 0, done.stderr
    assert len(served.requests) == before
    assert "1 of 3" in done.stdout
    clean = rows_of(folder / "out")["all"].clean
    assert (clean.num_contaminated, clean.accuracy.mean) == (1, 0.0)


def test_two_evaluations_are_compared(finished):
    folder, _ = finished
    done = run_apart("compare", folder / "out", folder / "out")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("avg"))
    assert line.split() == ["avg", "3", ".333", ".333", ".000", "[.000,", ".000]", "0", "0", "1", "1"]


def test_evaluations_without_a_common_task_are_one_message(finished, served):
    folder, _ = finished
    other = asked(folder, served.base_url, "--tool", "none", "--limit", 1, output="bare")
    assert other.returncode == 0, other.stderr
    done = run("compare", folder / "out", folder / "bare")
    assert (done.returncode, "have no task in common" in done.stderr) == (2, True)
    assert "--by item" in done.stderr
    paired = run("compare", folder / "out", folder / "bare", "--by", "item")
    line = next(line for line in paired.stdout.splitlines() if line.startswith("avg"))
    assert (paired.returncode, line.split()[1]) == (0, "1")
    missing = run("compare", folder / "out", folder / "nowhere")
    assert (missing.returncode, "holds no finished evaluation" in missing.stderr) == (2, True)


def test_a_checkpoint_is_evaluated_with_its_tokens_counted(tmp_path):
    entry = checkpoint_in(tmp_path)
    given = [tasks_file(tmp_path, exam(2)), "--output", tmp_path / "out", "--checkpoint", entry.path]
    sampling = ["--attempts", 2, "--temperature", 1, "--seed", 0, "--max-turn-tokens", 4]
    assert "needs --family" in run("eval", *given, *sampling).stderr
    done = run("eval", *given, *sampling, "--family", "qwen3_instruct")
    assert done.returncode == 0, done.stderr
    row = rows_of(tmp_path / "out")["all"]
    attempts = read_dataset(result(tmp_path / "out")["attempts"], Attempt)
    assert row.tokens_per_attempt == sum(len(t.sampled_ids_T) for a in attempts for t in a.turns) / 4


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (json.dumps({"question": "?"}), "exam.jsonl:1 is no task: key: Field required"),
        ("{", "exam.jsonl:1 is no task"),
        ("", "no tasks in what was given"),
    ],
)
def test_what_is_no_task_is_one_message(tmp_path, line, words):
    (tmp_path / "exam.jsonl").write_text(f"{line}\n")
    given = ["--output", tmp_path / "out", "--server", "http://127.0.0.1:1/v1", "--model", "m"]
    done = run("eval", tmp_path / "exam.jsonl", *given, "--attempts", 1, "--temperature", 1, "--seed", 0)
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()
