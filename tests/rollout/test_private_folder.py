"""Folders for what must not stay: removed at the end, and after a kill by whoever comes next."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from rollout.private_folder import private_folder

HOLDS = """
import sys
from rollout.private_folder import private_folder
with private_folder() as folder:
    (folder / "question").write_text("hidden")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path, monkeypatch):
    """A process that has a private folder, and where it is."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    command = [sys.executable, "-c", HOLDS]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ)
    yield process, Path(process.stdout.readline().strip())
    process.communicate()


def test_a_folder_is_ours_alone_and_goes_with_its_block(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with suppress(ZeroDivisionError), private_folder() as folder:
        (folder / "question").write_text("hidden")
        assert folder.stat().st_mode & 0o777 == 0o700
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_is_removed_by_the_next(holder):
    process, folder = holder
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / "question").read_text() == "hidden"
    with private_folder() as ours:
        assert os.listdir(folder.parent) == [ours.name]


def test_what_a_living_process_holds_is_left_alone(holder):
    _, folder = holder
    with private_folder() as ours:
        assert sorted(os.listdir(folder.parent)) == sorted([folder.name, ours.name])
    assert (folder / "question").read_text() == "hidden"
