"""Runs one command and leaves nothing of it behind: `python -I guard.py GRACE_S COMMAND...`.

The guard ends every descendant of the command (those that left their process group too) when the command ends, when the
guard is told to stop, or when the launcher is gone: only the launcher holds the other end of the guard's standard input,
so even a launcher that was killed with -9 leaves no process and no busy GPU. Standard library only; Linux.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_SET_PARENT_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36
_POLL_S = 0.05
STOPPED = 143
"""Exit code of a command that was stopped from outside (128 + SIGTERM)."""


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed: toolpath starts its processes on Linux only")


def _die_with_guard() -> None:
    _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _parent_of(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] == "Z" else int(fields[1])


def descendants(root: int) -> set[int]:
    """Pids of the living processes below `root` (zombies are none)."""
    parents = {int(name): _parent_of(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    found, layer = set[int](), {root}
    while layer:
        layer = {pid for pid, parent in parents.items() if parent in layer} - found
        found |= layer
    return found


def _signal_all(pids: set[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):  # gone already, or a sandbox's user that dies with its parent
            continue


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def end_descendants(grace_s: float) -> None:
    """SIGTERM to every descendant, SIGKILL to those that are alive after `grace_s`; returns when none is left."""
    deadline = time.monotonic() + grace_s
    _signal_all(descendants(os.getpid()), signal.SIGTERM)
    while alive := descendants(os.getpid()):
        late = time.monotonic() - deadline
        if late > 0:
            _signal_all(alive, signal.SIGKILL)
        if late > grace_s + 10:
            print(f"processes {sorted(alive)} cannot be ended: look at them with ps", file=sys.stderr)
            return
        _reap()
        time.sleep(_POLL_S)


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Exit code of the child, or STOPPED when standard input closes first."""
    descriptor = os.pidfd_open(child.pid)
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    poller.register(sys.stdin.fileno(), select.POLLIN | select.POLLHUP)
    ready = {fd for fd, _ in poller.poll()}
    return child.wait() if descriptor in ready else STOPPED


def _exit_code(code: int) -> int:
    if code >= 0:
        return code
    hint = ": often the machine is out of memory" if -code == signal.SIGKILL else ""
    print(f"the process was ended by {signal.Signals(-code).name}{hint}", file=sys.stderr)
    return 128 - code


def _leave(number: int, frame: object) -> None:
    raise SystemExit(STOPPED)


def main(grace_s: float, command: list[str]) -> int:
    """Run the command; returns its exit code, 128 + signal, 127 (cannot be started) or STOPPED."""
    _prctl(_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_guard)
    except OSError as error:
        print(f"{command[0]} cannot be started ({error.strerror}): name an interpreter that exists", file=sys.stderr)
        return 127
    try:
        return _exit_code(_wait(child))
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        end_descendants(grace_s)


if __name__ == "__main__":
    raise SystemExit(main(float(sys.argv[1]), sys.argv[2:]))
