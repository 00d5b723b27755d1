"""Interrupt training anywhere and resume: the same numbers as without the interruption, bit for bit."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.trainer.packs import make_learner, random_pack
from trainer import sft
from trainer.checkpoints import restore_state
from trainer.metrics import read_metrics
from trainer.recipe import SftRecipe
from trainer.stopping import has_plateaued

STEPS = 10
CLOCKS = {"cpu_seconds"}


def recipe(**changes) -> SftRecipe:
    fields = {
        "lr": 1e-2,
        "max_steps": STEPS,
        "batch_size": 5,
        "tokens_per_microbatch": 64,
        "schedule": "wsd",
        "warmup_steps": 2,
        "cooldown_steps": 3,
        "save_every": 1,
    }
    return SftRecipe.model_validate(fields | changes)


def weights(learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learner.model.parameters()])


def lines(folder: Path) -> list[dict[str, float | None]]:
    return [{k: v for k, v in line.items() if k not in CLOCKS} for line in read_metrics(folder)]


class Stop(Exception):
    """The interruption."""


def stop_at(step: int):
    """A held-out accuracy that ends the process's work at a step, after it was saved."""

    def accuracy(now: int) -> float:
        if now == step:
            raise Stop
        return now / 100

    return accuracy


@pytest.mark.parametrize("stopped", [1, 4, 9])
@pytest.mark.parametrize("save_every", [1, 3])
def test_sft_resumes_bit_for_bit(tmp_path, stopped, save_every):
    rows, settings = random_pack(17, seed=0), recipe(save_every=save_every, eval_every=1, plateau_patience=50)
    straight = make_learner()
    sft.train(straight, rows, settings, 7, tmp_path / "straight", lambda step: step / 100)
    first, second = make_learner(), make_learner(seed=5)  # the resumed weights must come from the state
    with pytest.raises(Stop):
        sft.train(first, rows, settings, 7, tmp_path / "cut", stop_at(stopped + 1))
    if not (tmp_path / "cut" / "state").exists():
        second = make_learner()
    torch.manual_seed(999)
    end = sft.train(second, rows, settings, 7, tmp_path / "cut", lambda step: step / 100)
    assert torch.equal(weights(straight), weights(second))
    assert lines(tmp_path / "straight") == lines(tmp_path / "cut")
    assert end.accuracies == [(step, step / 100) for step in range(1, STEPS + 1)]


def test_random_numbers_go_on_where_they_stopped(tmp_path):
    learner = make_learner()
    torch.manual_seed(3)
    sft.train(learner, random_pack(6, seed=0), recipe(), 7, tmp_path)
    expected = torch.rand(4)
    torch.manual_seed(55)
    restore_state(tmp_path, learner.model, learner.optimizer)
    assert torch.equal(torch.rand(4), expected)


def test_only_the_newest_states_are_kept(tmp_path):
    sft.train(make_learner(), random_pack(6, seed=0), recipe(keep_states=2), 7, tmp_path)
    assert sorted(p.name for p in (tmp_path / "state").iterdir()) == ["step-00000009", "step-00000010"]


CHILD = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.trainer.packs import make_learner, random_pack
from tests.trainer.test_resume import long_recipe, weights
from trainer import sft
folder = Path(sys.argv[1])
learner = make_learner()
sft.train(learner, random_pack(17, seed=0), long_recipe(), 7, folder, lambda step: time.sleep(0.05) or 0.5)
"""
LONG = 30
PATIENCE_S = 200


def long_recipe() -> SftRecipe:
    return recipe(max_steps=LONG, eval_every=1, plateau_patience=50)


def kill_after(program: str, folder: Path, num_steps: int) -> int:
    """Start `program FOLDER`, kill it with -9 once it has logged `num_steps`; returns how many it has logged by then."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.Popen([sys.executable, "-c", program, str(folder)], env=environment)
    metrics = folder / "metrics.jsonl"
    deadline = time.monotonic() + PATIENCE_S
    while not metrics.is_file() or metrics.read_text().count("\n") < num_steps:
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    return len(read_metrics(folder))


def test_killed_with_minus_nine_it_ends_with_the_same_weights(tmp_path):
    assert LONG // 4 <= kill_after(CHILD, tmp_path / "killed", LONG // 4) < LONG
    again, straight, rows = make_learner(seed=5), make_learner(), random_pack(17, seed=0)
    sft.train(again, rows, long_recipe(), 7, tmp_path / "killed", lambda step: 0.5)
    sft.train(straight, rows, long_recipe(), 7, tmp_path / "straight", lambda step: 0.5)
    assert torch.equal(weights(again), weights(straight))
    assert lines(tmp_path / "killed") == lines(tmp_path / "straight")
    steps = [line["step"] for line in read_metrics(tmp_path / "killed")]
    assert steps == list(range(LONG))


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.3, 0.6, 0.605, 0.6], True), ([0.3, 0.6, 0.605, 0.62], False), ([0.3, 0.6], False), ([0.5, 0.5, 0.5], True)],
)
def test_plateau_by_hand(values, expected):
    accuracies = [(10 * i, value) for i, value in enumerate(values, start=1)]
    assert has_plateaued(accuracies, tolerance=0.01, patience=2, min_steps=0) is expected
    assert not has_plateaued(accuracies, tolerance=0.01, patience=2, min_steps=1000)


def test_a_plateau_begins_the_cooldown_and_ends_the_run(tmp_path):
    settings = recipe(max_steps=100, eval_every=2, plateau_patience=2, cooldown_steps=3)
    curve = {2: 0.2, 4: 0.5, 6: 0.5, 8: 0.5}
    end = sft.train(make_learner(), random_pack(9, seed=0), settings, 7, tmp_path, lambda step: curve.get(step, 0.5))
    assert end.cooldown_start == 8
    assert end.step == 11
    rates = [line["lr"] for line in read_metrics(tmp_path)]
    assert rates[2:8] == [0.01] * 6
    assert rates[8:] == pytest.approx([0.0075, 0.005, 0.0025])


def test_a_budget_of_process_time_ends_the_run(tmp_path):
    settings = recipe(max_steps=10_000, schedule="constant", cooldown_steps=0, max_seconds_cpu=0.3, save_every=1000)
    end = sft.train(make_learner(), random_pack(9, seed=0), settings, 7, tmp_path)
    assert 1 < end.step < 10_000
    assert end.cpu_seconds == pytest.approx(0.3, abs=0.3)


def test_a_step_without_finite_gradient_is_skipped_and_counted(tmp_path):
    learner = make_learner()
    before = weights(learner)
    with torch.no_grad():
        learner.model.model.norm.weight[0] = float("inf")
    broken = weights(learner)
    end = sft.train(learner, random_pack(9, seed=0), recipe(), 7, tmp_path)
    assert end.nonfinite_steps == STEPS
    assert end.policy_version == 0
    assert torch.equal(weights(learner), broken)
    assert not torch.equal(before, broken)
    assert read_metrics(tmp_path)[-1]["nonfinite_steps"] == STEPS


def test_a_batch_without_a_trained_token_is_a_finite_step_with_zero_loss(tmp_path):
    rows = random_pack(9, seed=0)
    masked = replace(rows, trained_T=torch.zeros_like(rows.trained_T), weights_T=torch.zeros_like(rows.weights_T))
    end = sft.train(make_learner(), masked, recipe(max_steps=5), 7, tmp_path)
    assert (end.step, end.nonfinite_steps) == (5, 0)
    assert {(line["loss"], line["gradient_norm"], line["trained_tokens"]) for line in read_metrics(tmp_path)} == {
        (0, 0, 0)
    }


def test_training_lowers_the_loss_of_what_it_reads(tmp_path):
    sft.train(make_learner(), random_pack(8, seed=0), recipe(max_steps=40, batch_size=8), 7, tmp_path)
    losses = [line["loss"] for line in read_metrics(tmp_path)]
    assert losses[-1] < 0.7 * losses[0]
