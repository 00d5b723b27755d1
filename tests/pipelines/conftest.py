"""One real walk of a tiny recipe, killed once on its way, for all tests that look at what it leaves."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.store import PROJECT, Store

TINY = [
    "tasks.num_train=60",
    "tasks.num_test_per_family=1",
    "tasks.num_validation=4",
    "tasks.num_scarce_for_teacher=4",
    "teacher.tasks_per_shard=8",
    "init.hidden_size=32",
    "init.num_layers=1",
    "init.num_heads=2",
    "init.num_kv_heads=1",
    "init.head_dim=16",
    "init.intermediate_size=64",
    "init.vocab_size=400",
    "sft_data.min_rows=10",
    "sft.batch_size=4",
    "sft.max_steps=3",
    "sft.warmup_steps=0",
    "sft.schedule=constant",
    "sft.cooldown_steps=0",
    "sft.min_steps=0",
    "sft.eval_every=0",
    "difficulty.num_tasks=4",
    "difficulty.num_attempts=2",
    "difficulty.engine.max_turn_tokens=8",
    "rl_data.min_attempts=2",
    "rl_data.min_rows=1",
    "rl_data.drop_uniform_groups=false",
    "rl.max_steps=1",
    "rl.tasks_per_step=1",
    "rl.group_size=2",
    "rl.max_refills=0",
    "rl.sampling.max_turn_tokens=8",
    "evaluation.engine.max_turn_tokens=8",
]


@dataclass(frozen=True)
class Walk:
    """A finished walk."""

    folder: Path
    output: str
    """What the last run printed."""
    shards_at_kill: dict[Path, int]
    """Shards of attempts that were complete when the first run was killed, with their time of writing."""

    @property
    def store(self) -> Store:
        return Store(self.folder / "data")


def start(folder: Path, *overrides: str) -> subprocess.Popen:
    """`toolpath run` on the tiny recipe, in folders of its own."""
    sets = [word for override in (*TINY, *overrides) for word in ("--set", override)]
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", "run", *sets],
        cwd=PROJECT,
        env=os.environ
        | {"TOOLPATH_DATA": str(folder / "data"), "DAGSTER_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen, timeout_s: float = 1500) -> tuple[int, str]:
    """Exit code and output; a process that takes too long is killed."""
    try:
        output, _ = process.communicate(timeout=timeout_s)
    finally:
        process.kill()
    return process.returncode, output


def shards(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (folder / "data").rglob("shards/*.parquet")}


@pytest.fixture(scope="session")
def walked(tmp_path_factory) -> Walk:
    """A walk that was killed with -9 as soon as the first shard of the teacher's attempts was there, then run again."""
    folder = tmp_path_factory.mktemp("walk")
    first = start(folder)
    deadline = time.monotonic() + 200
    while not shards(folder) and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.02)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    at_kill = shards(folder)
    code, output = finish(start(folder))
    assert code == 0, output
    return Walk(folder, output, at_kill)
