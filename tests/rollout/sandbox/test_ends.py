"""How a call ends is told before the kernel has cleared up after it, and no differently where that cannot be done."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rollout.sandbox import Sandbox, Status, Tier
from rollout.sandbox.linux import machine
from tests.rollout.sandbox.conftest import LIMITS
from tests.rollout.sandbox.test_lifetime import descendants, eventually, signal_all, zombies

EXIT_GROUP = machine().numbers["exit_group"]
CODES = [
    ("print(1)", Status.OK, "1\n"),
    ("print('x' * 4000)", Status.OK, "x" * 4000 + "\n"),
    ("1 / 0", Status.ERROR, ""),
    ("import os\nos.abort()", Status.SIGNAL, ""),
    ("import os\nprint(1, flush=True)\nos._exit(0)", Status.OK, "1\n"),
    ("import os\nos._exit(86)", Status.MEMORY, ""),
    # a parent is told the lowest byte
    ("import os\nos._exit(256 + 3)", Status.ERROR, ""),
    ("import os\nos._exit(512)", Status.OK, ""),
    (f"import ctypes\nctypes.CDLL(None).syscall({EXIT_GROUP}, ctypes.c_long(2**32 + 1))", Status.ERROR, ""),
    (f"import ctypes\nctypes.CDLL(None).syscall({EXIT_GROUP}, ctypes.c_long(2**32))", Status.OK, ""),
    ("import os\nos.closerange(0, 64)\nos._exit(0)", Status.OK, ""),
]


@pytest.fixture(scope="module", params=list(Tier))
def without_threads(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(replace(LIMITS, num_threads=0), num_workers=1, tier=request.param) as made:
        assert not made.counts_threads
        yield made


@pytest.mark.parametrize(("code", "status", "stdout"), CODES)
def test_an_end_that_is_handed_over(sandbox: Sandbox, code: str, status: Status, stdout: str):
    assert sandbox.counts_threads
    outcome = sandbox.run(code)
    assert (outcome.status, outcome.stdout) == (status, stdout)


@pytest.mark.parametrize(("code", "status", "stdout"), CODES)
def test_an_end_that_is_awaited(without_threads: Sandbox, code: str, status: Status, stdout: str):
    outcome = without_threads.run(code)
    assert (outcome.status, outcome.stdout) == (status, stdout)


@pytest.mark.parametrize(("exit_code", "status"), [(0, Status.OK), (3, Status.ERROR), (86, Status.MEMORY)])
def test_a_thread_can_end_the_call(sandbox: Sandbox, exit_code: int, status: Status):
    code = (
        "import os, threading, time\nprint(1, flush=True)\n"
        f"threading.Thread(target=os._exit, args=[{exit_code}]).start()\ntime.sleep(9)"
    )
    outcome = sandbox.run(code)
    assert (outcome.status, outcome.stdout) == (status, "1\n")


def test_threads_that_run_on_end_with_the_call(sandbox: Sandbox):
    before = descendants(os.getpid())
    code = (
        "import threading\ndef work():\n    while True: sum(range(1000))\n"
        "for _ in range(2): threading.Thread(target=work, daemon=True).start()\nprint(1)"
    )
    for _ in range(5):
        outcome = sandbox.run(code)
        assert (outcome.status, outcome.stdout) == (Status.OK, "1\n")
    assert eventually(lambda: len(descendants(os.getpid())) <= len(before))


@pytest.mark.parametrize("tier", list(Tier))
def test_nothing_is_left_of_the_last_call_while_none_follows(tier: Tier):
    with Sandbox(LIMITS, num_workers=1, tier=tier) as sandbox:
        for code, status, _ in CODES:
            assert sandbox.run(code).status is status
        with sandbox.session() as session:
            assert session.run("import os\nos._exit(3)").status is Status.ERROR
        assert eventually(lambda: not zombies(os.getpid()))


@pytest.mark.parametrize("tier", list(Tier))
def test_a_fork_server_that_hangs_is_ended_with_all_that_is_in_it(tier: Tier):
    before = descendants(os.getpid())
    with Sandbox(LIMITS, num_workers=1, tier=tier) as sandbox:
        sandbox.run("1")
        started = descendants(os.getpid()) - before
        signal_all(started, signal.SIGSTOP)
    assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))
