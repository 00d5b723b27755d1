"""`toolpath eval`: a suite from a local copy, a real server, training data that holds an item."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_contracts.manifests import EvaluationRow
from data_contracts.storage import write_dataset
from data_contracts.tasks import Task
from pipelines.sources.training_texts import training_texts
from tests.servers import model_server
from tests.tiny import make_task
from tests.written import runs_of_words, written_texts

QUESTION = "A very particular gardener plants {} rows of seven tulips and asks the mayor how many tulips there are now"


def copy_of(folder: Path) -> Path:
    """The server's model answers 91: right for thirteen rows only."""
    path = folder / "copy.jsonl"
    rows = [{"id": n, "problem": QUESTION.format(n), "answer": str(7 * n)} for n in (13, 14)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def toolpath(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=os.environ)


@pytest.mark.parametrize(("suite", "hidden"), [("aime24", True), ("math500", False)])
def test_a_suite_is_evaluated_and_its_licence_decides_what_is_kept(tmp_path, suite, hidden):
    training = tmp_path / "training.jsonl"
    training.write_text(
        json.dumps({"messages": [{"role": "user", "content": f"Please: {QUESTION.format(13)}?"}]}) + "\n"
    )
    with model_server() as server:
        given = [
            "--copy",
            copy_of(tmp_path),
            "--training",
            training,
            "--output",
            tmp_path / "out",
            "--max-tokens",
            2000,
            "--at",
            "of-a-friend",
        ]
        model = ["--server", server.base_url, "--model", "tiny", "--attempts", 1, "--temperature", 1, "--seed", 0]
        done = toolpath("eval", suite, *given, *model)
    assert done.returncode == 0, done.stderr
    assert f"tiny on {suite}: 2 tasks x 1 = 2 attempts, at most 4,000 tokens" in done.stdout
    lines = (tmp_path / "out" / suite / "report.jsonl").read_text().splitlines()
    whole = next(row for row in map(EvaluationRow.from_json, lines) if row.domain == "all")
    assert (whole.suite, whole.suite_revision, whole.accuracy.mean) == (suite, "of-a-friend", 0.5)
    assert f"tiny on {suite} at of-a-friend: scores" in done.stdout
    assert (whole.clean.num_contaminated, whole.clean.accuracy.mean) == (1, 0.0)
    texts = " ".join(" ".join(text.split()) for text in written_texts(tmp_path / "out"))
    assert any(part in texts for part in runs_of_words(QUESTION.format(14))) is not hidden


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["aime-24"], "did you mean 'aime24'"),
        (["aime24", "amc23", "--copy", "x.jsonl"], "is a copy of one suite, but 2 are named"),
        (["aime24", "--copy", "nowhere.jsonl"], "nowhere.jsonl does not exist"),
    ],
)
def test_mistakes_are_one_message(tmp_path, capsys, words, message):
    from pipelines.cli import main

    assert main(["eval", *words, "--output", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_suites_are_listed_with_what_is_stored_of_them(capsys):
    from pipelines.cli import main

    assert main(["suites"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if "/" in line}
    assert len(lines) == 12
    assert lines["gpqa_diamond"].endswith("hashes and scores")
    assert lines["gsm8k"].endswith("attempts")


def test_training_texts_come_from_datasets_and_from_lines(tmp_path):
    tasks, _ = write_dataset(tmp_path, "tasks", [make_task("One?", "1")], Task)
    assert list(training_texts(tasks).values()) == [["One?"]]
    path = tmp_path / "rows.jsonl"
    rows = [
        {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}], "other": "O"},
        {"problem": "P", "solution": {"text": "T"}, "level": 3},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = training_texts(path)
    assert found == {"rows.jsonl:1": ["user", "U"], "rows.jsonl:2": ["P", "T"]}
    with pytest.raises(FileNotFoundError, match="name a dataset folder of tasks or attempts"):
        training_texts(tmp_path / "rows.csv")
