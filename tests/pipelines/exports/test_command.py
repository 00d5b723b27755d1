"""`toolpath export` on a store, every format."""

import json
from typing import Any

import pytest

from data_contracts.attempts import Attempt
from data_contracts.tasks import Task
from data_contracts.token_rows import TokenRow
from pipelines import cli
from pipelines.publishing.exports import FORMATS
from pipelines.store import Store
from tests.pipelines.exports.made import PLAIN, TASKS
from tests.trainer.packs import random_rows


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    """Released SFT and RL datasets, whose tasks are a parent."""
    monkeypatch.setenv("TOOLPATH_DATA", str(tmp_path / "data"))
    store = Store(tmp_path / "data")
    tasks = store.write("tasks", TASKS, Task)
    attempt = PLAIN.model_copy(update={"task_key": TASKS[0].key})
    entries = [
        store.write("sft_attempts", [attempt], Attempt, [tasks]),
        store.write("sft_dataset", random_rows(3, seed=0), TokenRow, [tasks]),
        store.write("rl_dataset", TASKS, Task, [tasks]),
    ]
    for entry in entries:
        store.release(entry.name, entry)
    return store


def export(*words: Any) -> int:
    return cli.main(["export", *map(str, words)])


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_is_written_and_says_from_which_version(store, tmp_path, capsys, name):
    assert export(name, "--out", tmp_path / name) == 0
    told = json.loads((tmp_path / name / "export.json").read_text())
    assert told["version"] == store.latest(FORMATS[name].asset).content_hash
    assert sum(told["rows"].values()) > 0
    printed = capsys.readouterr().out
    assert FORMATS[name].reader in printed
    assert ("left out 1: it has no verifier" in printed) == (FORMATS[name].asset == "rl_dataset")


def test_tools_are_those_of_the_tasks_that_the_attempts_were_made_with(store, tmp_path):
    assert export("prime-sft", "--out", tmp_path / "out") == 0
    import pyarrow.parquet as pq

    (tools,) = pq.read_table(tmp_path / "out" / "train.parquet")["tools"].to_pylist()
    assert json.loads(tools) == [tool.to_openai() for tool in TASKS[0].tools]


def test_another_version_is_named_by_the_start_of_its_hash(store, tmp_path, capsys):
    older = store.write("rl_dataset", TASKS[:1], Task)
    assert export("trl-grpo", "--out", tmp_path / "out", "--version", older.content_hash[:9]) == 0
    assert json.loads((tmp_path / "out" / "export.json").read_text())["rows"] == {"train.parquet": 1}
    assert export("trl-grpo", "--out", tmp_path / "none", "--version", "zz") == 2
    assert "0 versions of rl_dataset start with 'zz'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [(("trl-stf",), "did you mean 'trl-sft'"), (("trl-sft", "--version", "0"), "versions of sft_attempts start with")],
)
def test_a_slip_is_one_message_and_writes_nothing(store, tmp_path, capsys, words, message):
    assert export(*words, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_export_without_rows_says_why(store, tmp_path, capsys):
    entry = store.write("rl_dataset", TASKS[3:], Task)
    store.release("rl_dataset", entry)
    assert export("verl-rl", "--out", tmp_path / "out") == 2
    assert "no row of rl_dataset can be exported as verl-rl: it has no verifier" in capsys.readouterr().err
