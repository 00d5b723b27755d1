"""Schedules by hand; which parameters decay."""

import pytest

from tests.trainer.packs import make_model
from trainer.optim import Schedule, lr_factor, make_optimizer

KNOWN = {"warmup_steps": 4, "total_steps": 12}


@pytest.mark.parametrize(("step", "factor"), [(0, 0.25), (1, 0.5), (3, 1.0), (4, 1.0), (100, 1.0)])
def test_constant_after_warmup(step, factor):
    assert lr_factor(Schedule.CONSTANT, step, **KNOWN) == factor


@pytest.mark.parametrize(("step", "factor"), [(0, 0.25), (4, 1.0), (8, 0.55), (12, 0.1), (50, 0.1)])
def test_cosine_falls_to_its_floor(step, factor):
    assert lr_factor(Schedule.COSINE, step, min_ratio=0.1, **KNOWN) == pytest.approx(factor)


@pytest.mark.parametrize(("step", "factor"), [(7, 1.0), (8, 0.75), (9, 0.5), (10, 0.25), (11, 0.0)])
def test_wsd_cools_down_from_where_it_is_told(step, factor):
    assert lr_factor(Schedule.WSD, step, cooldown_start=8, cooldown_steps=3, **KNOWN) == pytest.approx(factor)


def test_wsd_stays_until_then():
    assert lr_factor(Schedule.WSD, 1000, cooldown_start=None, cooldown_steps=3, **KNOWN) == 1


def test_every_parameter_is_in_one_group_and_norms_do_not_decay():
    model = make_model()
    decayed, plain = make_optimizer(model, 1e-3, (0.9, 0.95), 0.1).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert len(decayed["params"]) + len(plain["params"]) == len(list(model.parameters()))
    norms = {id(p) for name, p in model.named_parameters() if "norm" in name}
    assert {id(p) for p in plain["params"]} == norms
