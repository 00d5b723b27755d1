"""Trackers: the real packages, offline; and one that fails, hangs or is slow."""

import sqlite3
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from trainer.metrics import Metrics, read_metrics
from trainer.trackers import Kind, Tracking, chosen
from trainer.trackers.tracker import TrackedRun

STEPS = {0: {"loss": 2.0, "reward": 0.5}, 1: {"loss": 1.5, "reward": None}, 2: {"loss": 1.0, "reward": 0.75}}
MEASURED = {"loss": [(0, 2.0), (1, 1.5), (2, 1.0)], "reward": [(0, 0.5), (2, 0.75)]}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    for name in ("WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "TOOLPATH_TRACKERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    (tmp_path / "rl-0123").mkdir()
    return tmp_path / "rl-0123"


def logged(folder: Path, kind: Kind) -> None:
    """A run of three steps, killed after two and resumed at the third."""
    for first, last in ((0, 2), (2, 3)):
        with Metrics(folder, ("loss", "reward"), first, (kind,)) as metrics:
            for step in range(first, last):
                metrics.log(step, STEPS[step])
    assert [line["step"] for line in read_metrics(folder)] == [0, 1, 2]


def test_tensorboard_has_what_was_measured(folder):
    logged(folder, Kind.TENSORBOARD)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    found = {name: [(event.step, event.value) for event in events.Scalars(name)] for name in ("loss", "reward")}
    assert found == MEASURED


def test_mlflow_has_what_was_measured_in_one_run(folder):
    logged(folder, Kind.MLFLOW)
    rows = sqlite3.connect(folder / "mlflow.db").execute("SELECT key, step, value, run_uuid FROM metrics").fetchall()
    assert {name: sorted((step, value) for key, step, value, _ in rows if key == name) for name in MEASURED} == MEASURED
    assert len({run for *_, run in rows}) == 1


def trackio_rows(folder: Path) -> tuple[list[dict[str, float]], list[str]]:
    """What trackio holds after a run, and its runs."""
    logged(folder, Kind.TRACKIO)
    from trackio.sqlite_storage import SQLiteStorage

    return SQLiteStorage.get_logs("toolpath", folder.name), SQLiteStorage.get_runs("toolpath")


def test_trackio_has_what_was_measured_in_one_run(folder):
    """In a process of its own: trackio reads TRACKIO_DIR when it is imported, and others may have imported it here."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        rows, runs = process.submit(trackio_rows, folder).result()
    found = {name: [(row["step"], row[name]) for row in rows if name in row] for name in MEASURED}
    assert found == MEASURED
    assert runs == [folder.name]
    assert (folder.parent / "trackio" / "toolpath.db").exists()


def wandb_records(file: Path) -> Iterator[bytes]:
    """The records of wandb's own file: a LevelDB log, 7 bytes of magic, blocks of 32 KiB, a header of 7 bytes a part."""
    data, place, parts = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        left = -place % 32768
        if 0 < left < 7:  # too little of the block for a header
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or last
            yield parts
            parts = b""


def wandb_history(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What the offline files hold so far: wandb's own process may write a little longer than `finish` takes."""
    from wandb.proto import wandb_internal_pb2

    found: dict[str, list[tuple[int, float]]] = {name: [] for name in MEASURED}
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for data in wandb_records(file):
            history = wandb_internal_pb2.Record.FromString(data).history
            items = {item.key or item.nested_key[0]: float(item.value_json) for item in history.item}
            for name in MEASURED.keys() & items.keys():
                found[name].append((history.step.num, items[name]))
    return found


def test_wandb_writes_offline_what_was_measured(folder):
    logged(folder, Kind.WANDB)
    deadline = time.monotonic() + 120
    while wandb_history(folder) != MEASURED and time.monotonic() < deadline:
        time.sleep(0.1)
    assert wandb_history(folder) == MEASURED


class Broken:
    """Takes even steps only."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        if step % 2:
            raise ConnectionError("the server is down")
        self.taken.append(step)

    def finish(self) -> None:
        raise ConnectionError("still down")


def test_a_failing_tracker_is_told_of_once_and_its_losses_are_counted(caplog):
    broken = Broken()
    tracking = Tracking("broken", lambda: broken)
    for step in range(6):
        tracking.log(step, {"loss": 1.0})
    tracking.close()
    assert broken.taken == [0, 2, 4]
    assert tracking.num_lost == 4
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "tracker broken failed; training goes on",
        "tracker broken did not take 4 steps; metrics.jsonl of the run has all of them",
    ]


def test_a_tracker_that_does_not_open_loses_every_step_and_nothing_else(caplog):
    def refuse() -> Broken:
        raise RuntimeError("no such account")

    tracking = Tracking("shut", refuse)
    for step in range(3):
        tracking.log(step, {})
    tracking.close()
    assert tracking.num_lost == 3


def test_a_hanging_tracker_does_not_hold_up_the_end(caplog):
    """The event is set at the end of the test, so that the thread ends."""
    free = threading.Event()

    class Hanging(Broken):
        def log(self, step: int, figures: Mapping[str, float]) -> None:
            free.wait()

    tracking = Tracking("hanging", Hanging, closing_s=0.05)
    for step in range(5):
        tracking.log(step, {})
    tracking.close()
    assert "did not take 4 steps and is still busy" in caplog.messages[-1]
    free.set()


def test_the_environment_names_trackers_where_the_recipe_does_not(monkeypatch):
    monkeypatch.setenv("TOOLPATH_TRACKERS", "tensorboard, tensorboard")
    assert chosen(None) == (Kind.TENSORBOARD,) * 2
    assert chosen([]) == ()
    monkeypatch.setenv("TOOLPATH_TRACKERS", "tensorbord")
    with pytest.raises(ValueError, match=r"names tensorbord: use any of tensorboard, wandb"):
        chosen(None)


def test_a_tracker_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("sys.path", [])
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)  # another test may have imported it
    with pytest.raises(ValueError, match=r"trackers mlflow: not installed .* 'toolpath\[mlflow\]'"):
        chosen([Kind.MLFLOW])


def test_a_tracker_is_opened_for_a_run_by_its_folder(folder):
    assert TrackedRun(folder, 3).name == "rl-0123"
