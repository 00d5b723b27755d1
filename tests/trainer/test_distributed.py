"""Two ranks on the CPU make what one process makes; a rank without work joins; a rank that dies ends the run."""

import os
import shutil
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
from tests.trainer.test_rl import Stop
from trainer.checkpoints import restore_state
from trainer.distributed import ALONE, World, device_for
from trainer.metrics import read_metrics
from trainer.runs import spec_from_flags
from trainer.sharding import Sharding

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


TOGETHER = [*ranks.SFT_BUDGETS, "untied", "adapted", *ranks.RL_CHANGES, "straight"]


def write_specs(house: House, folder: Path) -> None:
    inputs = {"dataset": house.rows, "checkpoint": house.init, "eval_tasks": house.tasks}
    for sharding in Sharding:
        recipe = canonical_json(TABLE | {"sharding": sharding.value})
        spec = spec_from_flags(RunKind.SFT, recipe, inputs, folder / sharding / "run", 4, 0)
        (folder / f"{sharding}.json").write_text(spec.canonical())


def kill_slow_ranks(folder: Path) -> None:
    """Let two ranks of a sharded run do a few of its steps, then end them with -9."""
    torchrun = subprocess.Popen(
        [*TORCHRUN, "-m", "tests.trainer.ranks", str(folder), "slow"], env=ENVIRONMENT, cwd=PROJECT
    )
    deadline = time.monotonic() + 250
    while len(read_metrics(folder / Sharding.FULL / "killed")) < 3:
        assert torchrun.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    torchrun.send_signal(signal.SIGKILL)
    assert torchrun.wait(60) != 0
    assert wait_until_gone([int((folder / f"pid-{rank}").read_text()) for rank in range(2)]) == []


def stop_at_three(step: int) -> float:
    if step == 3:
        raise Stop
    return 0.5


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """The same work by one process and by two ranks, who also finish a run that was killed, and one that one process began.

    `shrunk` in the first folder is the killed run as it was left.
    """
    house = House(tmp_path_factory.mktemp("house"))
    one, two = (tmp_path_factory.mktemp(name) for name in ("one", "two"))
    write_specs(house, one)
    write_specs(house, two)
    kill_slow_ranks(two)
    shutil.copytree(two / Sharding.FULL / "killed", one / "shrunk")
    with pytest.raises(Stop):
        ranks.train_long(two / Sharding.FULL / "grown", ALONE, Sharding.FULL, stop_at_three)
    ranks.main(one, [Sharding.REPLICATE])
    subprocess.run([*TORCHRUN, "-m", "tests.trainer.ranks", str(two)], env=ENVIRONMENT, cwd=PROJECT, check=True)
    return one / Sharding.REPLICATE, two


def assert_equal_curves(one: Path, two: Path) -> None:
    first, second = read_metrics(one), read_metrics(two)
    assert [line["step"] for line in first] == [line["step"] for line in second]
    for expected, found in zip(first, second, strict=True):
        for key in expected.keys() - {"cpu_seconds", "sampling_cpu_seconds"}:
            assert found[key] == pytest.approx(expected[key], abs=1e-4 if key == "gradient_norm" else 1e-5), key


def weights_in(folder: Path, name: str) -> list[torch.Tensor]:
    """Of each rank."""
    return [torch.load(path) for path in sorted(folder.glob(f"{name}-?.pt"))]


@pytest.mark.parametrize("sharding", Sharding)
@pytest.mark.parametrize("name", TOGETHER)
def test_two_ranks_make_what_one_process_makes(folders, name, sharding):
    """Also with one micro-batch for two ranks, with activations computed twice, and in RL after a resume."""
    one, two = folders[0], folders[1] / sharding
    assert_equal_curves(one / name, two / name)
    (expected,) = weights_in(one, name)
    first, second = weights_in(two, name)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, expected, atol=1e-5, rtol=0)


def test_the_weights_that_are_compared_have_moved(folders):
    start = {tied: ranks.whole(ranks.learner_in(ALONE, Sharding.FULL, tied=tied)) for tied in (True, False)}
    for name in (name for name in TOGETHER if name != "adapted"):
        (end,) = weights_in(folders[0], name)
        assert (end - start[name != "untied"]).abs().max() > 1e-3
        assert [line["step"] for line in read_metrics(folders[0] / name)][-1] > 0


@pytest.mark.parametrize("sharding", Sharding)
@pytest.mark.parametrize("name", ranks.RL_CHANGES)
def test_ranks_share_a_round_by_whole_groups_and_store_it_once_in_order(folders, name, sharding):
    """Each makes as many forward passes as it needs: sampling is no collective, whatever the weights are."""
    one, two = folders[0], folders[1] / sharding
    asked = [[line.split() for line in (two / f"asked-{name}-{r}").read_text().splitlines()] for r in range(2)]
    assert [moment for moment, *_ in asked[0]] == [moment for moment, *_ in asked[1]]
    assert all(int(jobs) % ranks.rl_recipe().group_size == 0 for rank in asked for _, jobs, _ in rank)
    assert int(asked[1][0][1]) > 0
    assert all(first != second for (*_, first), (*_, second) in zip(*asked, strict=True))
    for path in sorted((one / name / "attempts").iterdir()):
        alone, shared = (read_rows(folder / name / "attempts" / path.name, Attempt) for folder in (one, two))
        assert [a.key for a in shared] == [a.key for a in alone]
        assert [a.turns[0].sampled_ids_T for a in shared] == [a.turns[0].sampled_ids_T for a in alone]


@pytest.mark.parametrize("sharding", Sharding)
def test_a_run_from_files_to_files_writes_one_checkpoint(folders, sharding):
    one, two = folders[0] / "run", folders[1] / sharding / "run"
    assert_equal_curves(one, two)
    expected, found = (load_file(run / "checkpoint" / "model.safetensors") for run in (one, two))
    assert expected.keys() == found.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, atol=1e-5, rtol=0)
    configs = [(run / "checkpoint" / "config.json").read_text() for run in (one, two)]
    assert configs[0] == configs[1]
    assert [line["accuracy"] is None for line in read_metrics(two)] == [True, False, True]
    assert (two / "result.json").is_file()


@pytest.mark.parametrize("sharding", Sharding)
def test_a_rank_with_nothing_to_train_joins_and_no_rank_takes_a_step_that_is_not_finite(folders, sharding):
    (expected, weights, *_) = torch.load(folders[0] / "odd-0.pt")
    for rank in range(2):
        figures, after, unchanged, _ = torch.load(folders[1] / sharding / f"odd-{rank}.pt")
        assert [step["finite"] for step in figures] == [step["finite"] for step in expected] == [1.0, 0.0]
        assert figures[0]["trained_tokens"] == 11
        assert figures[0]["loss"] == pytest.approx(expected[0]["loss"], abs=1e-5)
        assert figures[0]["gradient_norm"] == pytest.approx(expected[0]["gradient_norm"], abs=1e-4)
        torch.testing.assert_close(after, weights, atol=1e-5, rtol=0)
        assert unchanged


def test_a_rank_holds_all_or_its_share(folders):
    *_, whole = torch.load(folders[0] / "odd-0.pt")
    replicated, sharded = ([torch.load(folders[1] / s / f"odd-{rank}.pt")[-1] for rank in range(2)] for s in Sharding)
    assert replicated == [whole, whole]
    assert sum(sharded) == whole
    assert max(sharded) < 0.52 * whole


def test_sharded_ranks_killed_with_minus_nine_end_with_the_same_weights(folders):
    two = folders[1] / Sharding.FULL
    for killed, straight in zip(weights_in(two, "killed"), weights_in(two, "straight"), strict=True):
        assert torch.equal(killed, straight)
    assert [line["loss"] for line in read_metrics(two / "killed")] == [
        line["loss"] for line in read_metrics(two / "straight")
    ]


def test_one_process_goes_on_where_two_sharded_ranks_were_killed(folders, capfd):
    shrunk = folders[0].parent / "shrunk"
    assert 0 < len(read_metrics(shrunk)) < ranks.LONG
    ranks.train_long(shrunk, ALONE, Sharding.FULL)
    assert "was saved by 2 process(es) and goes on with 1" in capfd.readouterr().err
    assert_equal_curves(folders[0] / "straight", shrunk)
    torch.testing.assert_close(
        weights_in(shrunk.parent, "shrunk"), weights_in(folders[0], "straight"), atol=1e-5, rtol=0
    )


def test_two_sharded_ranks_go_on_where_one_process_stopped(folders):
    assert_equal_curves(folders[0] / "straight", folders[1] / Sharding.FULL / "grown")
    (expected,) = weights_in(folders[0], "straight")
    for found in weights_in(folders[1] / Sharding.FULL, "grown"):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


class OtherSees(World):
    """A world whose second rank finds another state than this one."""

    def everyone(self, value):
        return [value, ["step-00000009"]]


def test_ranks_that_see_different_states_go_no_further(tmp_path):
    learner = ranks.learner_in(ALONE, Sharding.FULL)
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
