"""Alarms by hand, and in a run."""

import pytest

from tests.trainer.packs import make_learner
from tests.trainer.test_rl import TASKS, Judged, recipe
from trainer import rl
from trainer.alarms import AlarmError, Alarms, ringing
from trainer.checkpoints import Position, restore_state
from trainer.metrics import read_metrics


def lines(key: str, *values: float | None) -> list[dict[str, float | None]]:
    return [{key: value} for value in values]


@pytest.mark.parametrize(
    ("alarms", "seen", "rings"),
    [
        (Alarms(patience=2, max_sampler_gap=0.1), lines("sampler_gap", 0.0, 0.2, 0.3), "sampler_gap was above 0.1"),
        (Alarms(patience=2, max_sampler_gap=0.1), lines("sampler_gap", 0.3, 0.2, 0.1), None),
        (Alarms(patience=3, max_sampler_gap=0.1), lines("sampler_gap", 0.2, 0.2), None),
        (Alarms(patience=2, max_sampler_gap=0.1), lines("sampler_gap", 0.2, None, 0.2), None),
        (Alarms(patience=1, min_entropy=0.5), lines("entropy", 0.4), "entropy was below 0.5"),
        (Alarms(patience=1, max_entropy=0.5), lines("entropy", 0.6), "entropy was above 0.5"),
        (Alarms(max_nonfinite_steps=2), lines("nonfinite_steps", 2.0), None),
        (Alarms(max_nonfinite_steps=2), lines("nonfinite_steps", 3.0), "3 updates"),
        (Alarms(max_nonfinite_steps=None), lines("nonfinite_steps", 99.0), None),
        (Alarms(), [], None),
    ],
)
def test_alarms_by_hand(alarms, seen, rings):
    found = ringing(alarms, seen)
    assert found is None if rings is None else found.startswith(rings)


def test_a_band_that_is_closed_is_refused():
    with pytest.raises(ValueError, match=r"min_entropy 2\.0 is not below max_entropy 1\.0"):
        Alarms(min_entropy=2.0, max_entropy=1.0)


def test_an_alarm_ends_a_run_and_keeps_its_state(tmp_path):
    learner = make_learner()
    settings = recipe(alarms={"patience": 2, "min_entropy": 50.0})
    with pytest.raises(
        AlarmError, match=r"alarm at step 2: entropy was below 50.0 for 2 steps, last .*raise clip_high"
    ):
        rl.train(learner, Judged(learner), TASKS, settings, 3, tmp_path)
    assert len(read_metrics(tmp_path)) == 2
    assert restore_state(tmp_path, learner.model, learner.optimizer, learner.world).step == 2
    quiet = recipe(max_steps=3)
    assert isinstance(rl.train(learner, Judged(learner), TASKS, quiet, 3, tmp_path), Position)
    assert len(read_metrics(tmp_path)) == 3
