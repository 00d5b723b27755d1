"""Lines of progress: how far, how fast, how long still, once each."""

import re

from rollout.progress import PERIOD_S, Progress


def test_time_left_is_told_once_the_rate_says_something(monkeypatch):
    clock = iter([0.0, 10.0, 20.0])
    monkeypatch.setattr("rollout.progress.time.monotonic", lambda: next(clock))
    progress = Progress("sample", total=100, unit="attempts")
    progress.done = 1
    assert progress.line() == "[sample] 1/100 attempts  0.1/s"
    progress.done = 20
    assert progress.line() == "[sample] 20/100 attempts  1/s  80 s left"


def test_what_an_earlier_process_did_does_not_count_as_speed(monkeypatch):
    clock = iter([0.0, 10.0])
    monkeypatch.setattr("rollout.progress.time.monotonic", lambda: next(clock))
    progress = Progress("sft", total=100, done=50)
    progress.done = 60
    assert progress.line() == "[sft] 60/100 steps  1/s  40 s left"


def test_every_state_is_printed_once(monkeypatch, capsys):
    clock = iter(range(0, 1000, int(PERIOD_S)))
    monkeypatch.setattr("rollout.progress.time.monotonic", lambda: next(clock))
    with Progress("sft", total=2) as progress:
        progress.update(loss=0.5)
        progress.update(loss=0.25)
    lines = capsys.readouterr().err.splitlines()
    assert [re.findall(r"\d/2 steps", line) for line in lines] == [["0/2 steps"], ["1/2 steps"], ["2/2 steps"]]
    assert lines[-1].endswith("loss=0.25")
