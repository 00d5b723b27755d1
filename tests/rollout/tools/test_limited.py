"""Rates, places, time-outs and retries around any tool."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from data_contracts.attempts import CallStatus
from rollout.errors import InfrastructureError
from rollout.tools.base import ToolResult, state_of
from rollout.tools.limited import NUM_RETRIES, LimitedTool, Pace
from rollout.tools.variants import ToolVariant, apply_variant
from rollout.tools.wrapping import wrapped
from tests.tiny import PYTHON


class Counts:
    """Counts its calls, and how many there are at once; the first ones break."""

    spec = PYTHON

    def __init__(self, breaks: int = 0, takes_s: float = 0.0) -> None:
        self.breaks, self.takes_s = breaks, takes_s
        self.calls, self.now, self.most = 0, 0, 0
        self.starts: list[float] = []
        self.lock = threading.Lock()

    def call(self, arguments, seed):
        with self.lock:
            self.calls += 1
            self.now += 1
            self.most = max(self.most, self.now)
            self.starts.append(time.monotonic())
        time.sleep(self.takes_s)
        with self.lock:
            self.now -= 1
        if self.calls <= self.breaks:
            raise InfrastructureError("down")
        return ToolResult(CallStatus.OK, "7", printed=True)


def all_at_once(tool, number: int) -> None:
    with ThreadPoolExecutor(number) as pool:
        list(pool.map(lambda i: tool.call({}, i), range(number)))


def test_no_more_calls_at_once_than_there_are_places() -> None:
    counts = Counts(takes_s=0.02)
    all_at_once(LimitedTool(counts, Pace(max_concurrent=3)), 12)
    assert (counts.calls, counts.most) == (12, 3)


def test_no_more_calls_a_second_than_the_rate() -> None:
    counts = Counts()
    all_at_once(LimitedTool(counts, Pace(calls_per_s=50.0)), 11)
    assert max(counts.starts) - min(counts.starts) >= 10 / 50 - 0.02


def test_waiting_for_a_turn_is_no_time_of_the_call() -> None:
    pace = Pace(max_concurrent=1)
    tool = LimitedTool(Counts(takes_s=0.1), pace, timeout_s=1.0)
    with ThreadPoolExecutor(12) as pool:
        statuses = {done.status for done in pool.map(lambda i: tool.call({}, i), range(12))}
    assert statuses == {CallStatus.OK}


def test_a_call_that_takes_too_long_is_a_time_out() -> None:
    told = LimitedTool(Counts(takes_s=2.0), Pace(), timeout_s=0.05).call({}, 0)
    assert (told.status, told.text) == (CallStatus.TIMEOUT, "Error: no answer within 0.05 s")


@pytest.mark.parametrize(("idempotent", "breaks", "calls"), [(True, 2, 3), (True, 9, 3), (False, 1, 1), (True, 0, 1)])
def test_only_idempotent_tools_are_asked_again(idempotent, breaks, calls) -> None:
    counts = Counts(breaks)
    tool = LimitedTool(counts, Pace(), idempotent=idempotent, first_pause_s=0.01)
    if breaks < calls or (idempotent and breaks <= NUM_RETRIES):
        assert tool.call({}, 0).text == "7"
    else:
        with pytest.raises(InfrastructureError):
            tool.call({}, 0)
    assert counts.calls == calls


class Remembers(Counts):
    """Each attempt has its own count."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[Remembers] = []
        self.closed = False

    def open_attempt(self, seed):
        self.opened.append(Remembers())
        return self.opened[-1]

    def call(self, arguments, seed):
        super().call(arguments, seed)
        return ToolResult(CallStatus.OK, str(self.calls), printed=True)

    def close(self):
        self.closed = True


@pytest.mark.parametrize(
    ("wrap", "told"),
    [
        (lambda tool: wrapped(tool, lambda inner: LimitedTool(inner, Pace())), ["1", "2"]),
        (lambda tool: apply_variant(tool, ToolVariant.OFFSET), ["2", "3"]),
    ],
)
def test_a_wrapped_tool_keeps_its_state(wrap, told) -> None:
    inner = Remembers()
    tool = wrap(inner)
    assert (state_of(tool), tool.spec) == (inner, PYTHON)
    opened = [tool.open_attempt(seed) for seed in (0, 1)]
    for one in opened:
        assert [one.call({}, 0).text for _ in told] == told
    opened[0].close()
    assert [one.closed for one in inner.opened] == [True, False]
    assert inner.calls == 0
    assert state_of(wrap(Counts())) is None
