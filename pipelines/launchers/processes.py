"""A command under a guard, from the launcher's side."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

_GUARD = Path(__file__).with_name("guard.py")
GRACE_S = 10.0
"""Time that a process has between SIGTERM and SIGKILL."""
_MARGIN_S = 15.0
ERROR = "error: "
"""How rollout.process begins the message for a mistake of the user."""


@dataclass(frozen=True)
class Ending:
    """How a command ended."""

    code: int
    last_line: str
    """The last line that it wrote to standard error, one that begins with `error: ` before all others (torchrun adds a
    report of its own); or the empty string."""


def run_guarded(
    command: Sequence[str],
    env: Mapping[str, str],
    on_line: Callable[[str], None],
    held_fds: Sequence[int] = (),
    grace_s: float = GRACE_S,
) -> Ending:
    """Run a command in a session of its own and pass on each line of its standard error as it appears.

    Whatever ends this function (an exception, an interrupt, a kill of this process), every process that the command
    started is ended too. The guard keeps `held_fds` (locks) open until the last of them is gone.
    """
    guard = subprocess.Popen(
        [sys.executable, "-I", str(_GUARD), str(grace_s), *command],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env),
        pass_fds=tuple(held_fds),
        start_new_session=True,
        text=True,
        errors="replace",
    )
    sweeper = Thread(target=_sweep, args=(guard,), daemon=True)
    sweeper.start()
    try:
        return Ending(*_follow(guard, on_line))
    finally:
        _end(guard, grace_s)
        sweeper.join()


def _follow(guard: subprocess.Popen[str], on_line: Callable[[str], None]) -> tuple[int, str]:
    assert guard.stderr is not None
    last_line = ""
    for line in guard.stderr:
        on_line(line)
        if line.startswith(ERROR) or not last_line.startswith(ERROR):
            last_line = line.strip() or last_line
    return guard.wait(), last_line


def _sweep(guard: subprocess.Popen[str]) -> None:
    """What is left of a guard's group once it is gone: nothing, unless the guard itself was killed."""
    guard.wait()
    with suppress(ProcessLookupError):
        os.killpg(guard.pid, signal.SIGKILL)


def _end(guard: subprocess.Popen[str], grace_s: float) -> None:
    """Tell the guard to stop (it ends what it started), and wait for it."""
    assert guard.stdin is not None
    assert guard.stderr is not None
    guard.stdin.close()
    try:
        guard.wait(2 * grace_s + _MARGIN_S)
    finally:
        guard.kill()
        guard.stderr.close()
