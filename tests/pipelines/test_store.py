"""The store: content-addressed versions, and a pointer to the released one."""

import pytest

from data_contracts.decisions import Decision, Reason, Verdict
from data_contracts.manifests import RunInput, RunKind
from data_contracts.storage import DatasetError
from pipelines.recipe import StageRecipe
from pipelines.store import Store, checkpoint_manifest


def decision(subject: str) -> Decision:
    return Decision(
        subject=subject, stage="s", verdict=Verdict.KEEP, reason=Reason.PASSED, evidence="{}", filter_version="1"
    )


def test_what_is_released_is_read_back(tmp_path):
    store = Store(tmp_path)
    entry = store.write("decisions", [decision("b"), decision("a")], Decision)
    store.release("kept", entry)
    assert [row.subject for row in store.read(store.latest("kept"), Decision)] == ["a", "b"]


def test_partitions_are_apart_and_the_last_release_counts(tmp_path):
    store = Store(tmp_path)
    one, two = (store.write("d", [decision(name)], Decision) for name in "12")
    store.release("x", one, "sft-1")
    store.release("x", two, "sft-2")
    store.release("x", two, "sft-1")
    assert store.latest("x", "sft-1").content_hash == two.content_hash
    assert not store.has("x")


def test_a_store_can_be_moved(tmp_path):
    old = Store(tmp_path / "old")
    old.release("x", old.write("d", [decision("a")], Decision))
    (tmp_path / "old").rename(tmp_path / "new")
    new = Store(tmp_path / "new")
    assert len(new.read(new.latest("x"), Decision)) == 1


def test_what_was_never_released_is_one_message(tmp_path):
    with pytest.raises(DatasetError, match=r"task_difficulty of sft-1 has no released version.*materialise"):
        Store(tmp_path).latest("task_difficulty", "sft-1")


def test_the_folder_of_a_run_is_named_after_what_decides_its_result(tmp_path):
    store, stage = Store(tmp_path), StageRecipe("{}", seed=0, num_gpus=0)
    given = RunInput(name="tasks", path="/here", content_hash="h")
    spec = store.spec(RunKind.SAMPLE, stage, [given])
    moved = store.spec(RunKind.SAMPLE, stage, [given.model_copy(update={"path": "/there"})])
    other = store.spec(RunKind.SAMPLE, stage, [given.model_copy(update={"content_hash": "i"})])
    assert spec.output == moved.output == str(tmp_path / "runs" / f"sample-{spec.identity[:12]}")
    assert other.output != spec.output


def test_a_folder_that_is_no_checkpoint_is_one_message(tmp_path):
    with pytest.raises(DatasetError, match="is no checkpoint"):
        checkpoint_manifest(RunInput(name="checkpoint", path=str(tmp_path), content_hash="h"))
