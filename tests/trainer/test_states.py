"""States of a run: whole or not there, never another model's, and no larger than what training changes."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from data_contracts.storage import NoSpaceError
from tests.trainer.packs import make_learner, make_model
from trainer.checkpoints import Position, restore_state, save_state
from trainer.learner import Learner
from trainer.optim import make_optimizer


def optimizer_of(model) -> torch.optim.Optimizer:
    return make_optimizer(model, 1e-3, (0.9, 0.95), 0.01)


def set_all(learner: Learner, value: float) -> None:
    """Every weight and every moment."""
    for weight in learner.model.parameters():
        with torch.no_grad():
            weight.fill_(value)
        moments = (torch.full_like(weight, value) for _ in range(2))
        learner.optimizer.state[weight] = {"step": torch.tensor(value), **dict(zip(MOMENTS, moments, strict=True))}


MOMENTS = ("exp_avg", "exp_avg_sq")


def values_in(learner: Learner) -> set[float]:
    tensors = [t for w in learner.model.parameters() for t in (w, *learner.optimizer.state[w].values())]
    return {float(value) for tensor in tensors for value in tensor.detach().unique()}


def test_weights_and_moments_come_back_and_a_fresh_optimizer_needs_none(tmp_path):
    first, second = make_learner(), make_learner(seed=5)
    save_state(tmp_path, Position(step=1), first.model, first.optimizer, 2)
    set_all(second, 3.0)
    restore_state(tmp_path, second.model, second.optimizer)
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True))
    assert all(not t.any() for state in second.optimizer.state.values() for t in state.values())
    set_all(first, 7.0)
    save_state(tmp_path, Position(step=2, accuracies=[(1, 0.1)]), first.model, first.optimizer, 2)
    assert restore_state(tmp_path, second.model, second.optimizer).accuracies == [(1, 0.1)]
    assert values_in(second) == {7.0}


def test_the_state_of_another_model_is_refused_with_its_cause(tmp_path):
    learner, wide, untied = make_learner(), make_model(intermediate_size=96), make_model(tie_word_embeddings=False)
    save_state(tmp_path, Position(step=1), learner.model, learner.optimizer, 2)
    before = [weight.clone() for weight in wide.parameters()]
    with pytest.raises(
        ValueError,
        match=r"step-00000001.* model\.model\.layers\.0\.mlp.*\(32, 64\) there and \(32, 96\) here; go on with",
    ):
        restore_state(tmp_path, wide, optimizer_of(wide))
    assert all(torch.equal(a, b) for a, b in zip(before, wide.parameters(), strict=True))
    with pytest.raises(ValueError, match=r"model.lm_head.weight has shape none there"):
        restore_state(tmp_path, untied, optimizer_of(untied))


def test_what_is_frozen_is_not_saved(tmp_path):
    learner = make_learner()
    learner.model.model.layers.requires_grad_(False)
    optimizer = optimizer_of(learner.model)
    save_state(tmp_path, Position(step=1), learner.model, optimizer, 2)
    trained = sum(w.nbytes for w in learner.model.parameters() if w.requires_grad)
    whole = sum(w.nbytes for w in learner.model.parameters())
    saved = sum(file.stat().st_size for file in (tmp_path / "state").rglob("*.distcp"))
    assert 3 * trained <= saved < 3 * trained + 2**16
    assert whole > 2 * trained


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs root to mount a small disk")
def test_a_full_disk_is_one_message_and_leaves_the_older_state(tmp_path):
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"cannot mount here: {made.stderr.decode().strip()}")
    learner = make_learner()
    try:
        set_all(learner, 1.0)
        save_state(tmp_path, Position(step=1), learner.model, learner.optimizer, 2)
        set_all(learner, 2.0)
        with pytest.raises(NoSpaceError, match=r"no room left under .* bytes are free"):
            save_state(tmp_path, Position(step=2), learner.model, learner.optimizer, 2)
        assert [path.name for path in (tmp_path / "state").iterdir()] == ["step-00000001"]
        assert restore_state(tmp_path, learner.model, learner.optimizer).step == 1
        assert values_in(learner) == {1.0}
    finally:
        subprocess.run(["umount", tmp_path], check=True)


SAVING = """
import sys
from pathlib import Path
import torch
from tests.trainer.packs import make_learner
from tests.trainer.test_states import set_all
from trainer.checkpoints import Position, save_state
torch.set_num_threads(1)
learner = make_learner()
for step in range(1, 10_000):
    set_all(learner, float(step))
    save_state(Path(sys.argv[1]), Position(step=step), learner.model, learner.optimizer, 2)
"""


def test_killed_while_it_saves_the_older_state_is_whole_and_the_rest_is_swept_away(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen([sys.executable, "-c", SAVING, str(tmp_path)], env=environment)
    state, deadline = tmp_path / "state", time.monotonic() + 200
    while not (any(state.glob("step-*")) and any(state.glob(".writing-*/tensors/*"))):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    learner = make_learner()
    step = restore_state(tmp_path, learner.model, learner.optimizer).step
    assert step >= 1
    assert values_in(learner) == {float(step)}
    assert all(path.name.startswith("step-") for path in state.iterdir())
