"""Two ranks on the CPU make what one process makes; a rank without work joins; a rank that dies ends the run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from data_contracts.attempts import Attempt
from data_contracts.ids import canonical_json
from data_contracts.manifests import RunKind
from data_contracts.storage import read_rows
from tests.pipelines.test_guard import wait_until_gone
from tests.trainer import ranks
from tests.trainer.test_commands import House
from trainer.checkpoints import restore_state
from trainer.distributed import ALONE, World, device_for
from trainer.metrics import read_metrics
from trainer.runs import spec_from_flags

PROJECT = Path(__file__).parents[2]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)}
TABLE = {
    "lr": 1e-3,
    "max_steps": 3,
    "batch_size": 6,
    "tokens_per_microbatch": 512,
    "eval_every": 2,
    "eval_tasks": 3,
    "eval_attempts": 1,
    "sampling": {"max_turn_tokens": 8},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """The same work by one process and by two ranks."""
    house = House(tmp_path_factory.mktemp("house"))
    inputs = {"dataset": house.rows, "checkpoint": house.init, "eval_tasks": house.tasks}
    one, two = (tmp_path_factory.mktemp(name) for name in ("one", "two"))
    for folder in (one, two):
        spec = spec_from_flags(RunKind.SFT, canonical_json(TABLE), inputs, folder / "run", 4, 0)
        (folder / ranks.SPEC).write_text(spec.canonical())
    ranks.main(one)
    subprocess.run([*TORCHRUN, "-m", "tests.trainer.ranks", str(two)], env=ENVIRONMENT, cwd=PROJECT, check=True)
    return one, two


def assert_equal_curves(one: Path, two: Path) -> None:
    first, second = read_metrics(one), read_metrics(two)
    assert [line["step"] for line in first] == [line["step"] for line in second]
    for expected, found in zip(first, second, strict=True):
        for key in expected.keys() - {"cpu_seconds", "sampling_cpu_seconds"}:
            assert found[key] == pytest.approx(expected[key], abs=1e-4 if key == "gradient_norm" else 1e-5), key


@pytest.mark.parametrize("name", [*ranks.SFT_BUDGETS, "rl"])
def test_two_ranks_make_what_one_process_makes(folders, name):
    """Also with one micro-batch for two ranks, and in RL after a resume."""
    one, two = folders
    assert_equal_curves(one / name, two / name)
    expected, first, second = (torch.load(path) for path in (one / f"{name}-0.pt", *sorted(two.glob(f"{name}-*.pt"))))
    assert torch.equal(first, second)
    torch.testing.assert_close(first, expected, atol=1e-5, rtol=0)


def test_the_weights_that_are_compared_have_moved(folders):
    start = ranks.weights(ranks.make_learner())
    for name in (*ranks.SFT_BUDGETS, "rl"):
        assert (torch.load(folders[1] / f"{name}-0.pt") - start).abs().max() > 1e-3


def test_ranks_share_a_round_by_whole_groups_and_store_it_once_in_order(folders):
    asked = [(folders[1] / f"asked-{rank}").read_text().splitlines() for rank in range(2)]
    assert [line.split()[0] for line in asked[0]] == [line.split()[0] for line in asked[1]]
    shares = [[int(line.split()[1]) for line in lines] for lines in asked]
    assert all(number % ranks.rl_recipe().group_size == 0 for share in shares for number in share)
    assert shares[1][0] > 0
    for path in sorted((folders[0] / "rl" / "attempts").iterdir()):
        alone, shared = (read_rows(f / "rl" / "attempts" / path.name, Attempt) for f in folders)
        assert [a.key for a in shared] == [a.key for a in alone]
        assert [a.turns[0].sampled_ids_T for a in shared] == [a.turns[0].sampled_ids_T for a in alone]


def test_a_run_from_files_to_files_writes_one_checkpoint(folders):
    one, two = (folder / "run" for folder in folders)
    assert_equal_curves(one, two)
    expected, found = (load_file(run / "checkpoint" / "model.safetensors") for run in (one, two))
    assert expected.keys() == found.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, atol=1e-5, rtol=0)
    assert [line["accuracy"] is None for line in read_metrics(two)] == [True, False, True]
    assert (two / "result.json").is_file()


class OtherSees(World):
    """A world whose second rank finds another state than this one."""

    def everyone(self, value):
        return [value, ["step-00000009"]]


def test_ranks_that_see_different_states_go_no_further(tmp_path):
    learner = ranks.make_learner()
    with pytest.raises(ValueError, match=r"step-00000009.*a folder that all of them share"):
        restore_state(tmp_path, learner.model, learner.optimizer, OtherSees(0, 2))


def test_shares_put_together_are_the_whole():
    for size in (1, 2, 3, 7):
        parts = [World(rank, size).share(range(5)) for rank in range(size)]
        assert sorted(item for part in parts for item in part) == list(range(5))
    assert World(1, 2).share("abcde") == ["b", "d"]
    assert ALONE.gather(ALONE.share("abcde")) == list("abcde")


WAITING = """
import os, pathlib, sys, time
from trainer.distributed import joined
with joined(0) as world:
    (pathlib.Path(sys.argv[1]) / str(world.rank)).write_text(str(os.getpid()))
    time.sleep(300 * world.rank)
    world.barrier()
"""


@pytest.mark.parametrize("victim", ["rank", "torchrun"])
def test_a_killed_process_ends_the_run_with_an_error(tmp_path, victim):
    program = tmp_path / "waiting.py"
    program.write_text(WAITING)
    torchrun = subprocess.Popen(
        [*TORCHRUN, str(program), str(tmp_path)], env=ENVIRONMENT, stderr=subprocess.DEVNULL, cwd=tmp_path
    )
    files = [tmp_path / "0", tmp_path / "1"]
    deadline = time.monotonic() + 250
    while not all(file.is_file() and file.read_text() for file in files):
        assert torchrun.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pids = [int(file.read_text()) for file in files]
    os.kill(pids[1] if victim == "rank" else torchrun.pid, signal.SIGKILL)
    assert torchrun.wait(60) != 0
    assert wait_until_gone(pids) == []


def test_each_rank_has_its_device_and_a_mistake_is_one_message():
    assert device_for(0, 0, 2, 1) == device_for(0, 0, 1, 0) == torch.device("cpu")
    assert device_for(1, 1, 1, 0) == torch.device("cuda", 0)
    assert device_for(8, 8, 8, 3) == torch.device("cuda", 3)
    with pytest.raises(ValueError, match="num_gpus 8, but this process sees 4"):
        device_for(8, 4, 8, 3)
    with pytest.raises(ValueError, match="--nproc-per-node 4 -m trainer"):
        device_for(4, 8, 1, 0)
