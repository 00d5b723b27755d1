"""Calls that may start processes: so many, in the cage of the call, and none outlives it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rollout.sandbox import IsolationError, Limits, Outcome, Sandbox, Status, Tier, selftest
from tests.rollout.sandbox.attacks.surroundings import HOUSE
from tests.rollout.sandbox.attacks.tiers import ordinary_user, require
from tests.rollout.sandbox.test_lifetime import descendants, eventually

NUM_PROCESSES = 5
LIMITS = Limits(wall_s=20.0, num_processes=NUM_PROCESSES)
END_S = 0.3


@pytest.fixture(scope="module")
def sandbox():
    require(Tier.BWRAP)
    with Sandbox(LIMITS, num_workers=1, tier=Tier.BWRAP) as running:
        yield running


def alone(sandbox: Sandbox, code: str, wall_s: float = 20.0) -> Outcome:
    """Run it; nothing of it may be left a moment later."""
    sandbox.run("1")
    time.sleep(0.5)  # what is started in advance has started
    before = descendants(os.getpid())
    outcome = sandbox.run(code, wall_s=wall_s)
    assert eventually(lambda: len(descendants(os.getpid())) <= len(before), END_S)
    return outcome


def test_programs_and_forks_run(sandbox):
    outcome = sandbox.run(
        "import os, subprocess, sys\n"
        "print(subprocess.run([sys.executable, '-c', 'print(6 * 7)'], capture_output=True, text=True).stdout, end='')\n"
        "pid = os.fork()\nif pid == 0: os._exit(7)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "sleeper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "sleeper.kill()\nprint(sleeper.wait())"
    )
    assert (outcome.status, outcome.stdout) == (Status.OK, "42\n7\n-9\n")


@pytest.mark.parametrize(
    "start", ["os.fork()", "ctypes.CDLL(None).fork()", "ctypes.CDLL(None).syscall(SYS_CLONE, 17, 0, 0, 0, 0)"]
)
def test_a_fork_bomb_has_as_many_processes_as_are_allowed(sandbox, start):
    code = (
        "import ctypes, os\nSYS_CLONE = 56 if os.uname().machine == 'x86_64' else 220\n"
        f"def split():\n    try: return {start} != -1\n    except OSError: return False\n"
        "while split(): pass\n"
        "os.write(1, b'x')\n"
        "try:\n    while True: os.wait()\nexcept ChildProcessError: os._exit(0)"
    )
    outcome = alone(sandbox, code)
    assert (outcome.status, outcome.stdout) == (Status.OK, "x" * (1 + NUM_PROCESSES))


def test_a_daemon_ends_with_its_call(sandbox):
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n"
        "    os.close(1)\n    os.close(2)\n    time.sleep(1e6)\n"
        "os.wait()\nprint('away')"
    )
    outcome = alone(sandbox, code)
    assert (outcome.status, outcome.stdout) == (Status.OK, "away\n")


def test_all_end_at_the_deadline(sandbox):
    code = (
        "import os, signal\nfor number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)\n"
        "for _ in range(2): os.fork()\nwhile True: pass"
    )
    start = time.monotonic()
    assert alone(sandbox, code, wall_s=0.3).status is Status.TIMEOUT
    assert time.monotonic() - start < 10


def test_each_process_has_the_memory_of_a_call(sandbox):
    code = (
        "import os\npids = []\n"
        "for _ in range(4):\n    pid = os.fork()\n    if pid: pids.append(pid); continue\n"
        "    try: block = bytearray(1 << 30)\n    except MemoryError: os._exit(3)\n    os._exit(0)\n"
        "print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])"
    )
    assert alone(sandbox, code).stdout == "[3, 3, 3, 3]\n"


def test_signals_reach_no_group_and_no_other_call(sandbox):
    code = (
        "import os\nfor target in (0, -1, -os.getpgrp(), -2):\n"
        "    try: os.kill(target, 9); print('escaped', target)\n    except PermissionError: pass\n"
        "for target in range(2, 400):\n"
        "    try: os.kill(target, 9); print('found', target)\n    except ProcessLookupError: pass\nprint('done')"
    )
    assert sandbox.run(code).stdout == "done\n"


def test_a_program_lies_in_the_cage_of_its_call(sandbox):
    source = Path(selftest.__file__).with_name("probes.py").read_text()
    first = "MAX_THREADS, MAX_PROCESSES, HAS_BOX = 0, 0, False"
    assert first in source
    source = source.replace(first, f"MAX_THREADS, MAX_PROCESSES, HAS_BOX = {LIMITS.num_threads}, {NUM_PROCESSES}, True")
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {source!r}])\nNone"
    outcome = alone(sandbox, code)
    # its parent is the call
    assert (outcome.status, outcome.stdout, outcome.stderr) == (Status.OK, "signal its parent\ndone\n", "")


@pytest.mark.parametrize("tier", [Tier.BWRAP_LANDLOCK, Tier.LANDLOCK])
def test_a_tier_that_cannot_end_processes_refuses_them(tier):
    require(tier)
    with pytest.raises(IsolationError, match=f"num_processes={NUM_PROCESSES}: the tier {tier} cannot"):
        Sandbox(LIMITS, num_workers=1, tier=tier)


def test_sessions_have_none(sandbox):
    with pytest.raises(ValueError, match="would run on between its cells"):
        sandbox.session()


@pytest.mark.timeout(600)
def test_an_ordinary_user_has_all_of_it():
    """These tests once more, as another user; where there is none, or namespaces are refused to it, the reason is said."""
    prefix = ordinary_user()
    require(Tier.BWRAP, prefix)
    command = [*prefix, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", __file__]
    environment = {"PYTHONPATH": str(HOUSE), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [*command, "-k", "not ordinary_user"], cwd=HOUSE, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert set(done.stdout.split()[0]) == {"."}, done.stdout  # passed, all of them
