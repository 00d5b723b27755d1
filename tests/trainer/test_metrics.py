"""The metrics file holds each step once, whatever was killed when."""

import pytest

from trainer.metrics import Metrics, read_metrics


def test_what_is_logged_is_read_back(tmp_path):
    with Metrics(tmp_path, ("loss", "accuracy"), 0) as metrics:
        metrics.log(0, {"loss": 1.5, "accuracy": None})
        metrics.log(1, {"loss": float("nan"), "accuracy": 0.25})
    assert read_metrics(tmp_path) == [
        {"step": 0, "loss": 1.5, "accuracy": None},
        {"step": 1, "loss": None, "accuracy": 0.25},
    ]


def test_a_resumed_run_drops_later_lines_and_the_cut_one(tmp_path):
    with Metrics(tmp_path, ("loss",), 0) as metrics:
        for step in range(4):
            metrics.log(step, {"loss": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    with Metrics(tmp_path, ("loss",), 2) as metrics:
        metrics.log(2, {"loss": 20.0})
    assert [(line["step"], line["loss"]) for line in read_metrics(tmp_path)] == [(0, 0), (1, 1), (2, 20)]


@pytest.mark.parametrize("figures", [{}, {"loss": 1.0, "other": 2.0}])
def test_the_keys_are_fixed(tmp_path, figures):
    with Metrics(tmp_path, ("loss",), 0) as metrics, pytest.raises(AssertionError):
        metrics.log(0, figures)
