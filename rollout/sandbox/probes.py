"""Runs inside a sandbox that starts: tries what must be impossible and prints what was possible after all."""

import ctypes
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable

MAX_THREADS, MAX_PROCESSES, HAS_BOX = 0, 0, False
"""The self-test puts what holds for the tier in place of this line."""


def _kernel_call(number: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, 0, 0, 0, 0, 0, 0) < 0 and ctypes.get_errno() in (1, 38):  # EPERM, ENOSYS
        raise PermissionError


def _start_threads() -> None:
    """One too many; all of them end before the next probe."""
    over = threading.Event()
    threads = [threading.Thread(target=over.wait) for _ in range(MAX_THREADS + 1)]
    started = []
    try:
        for thread in threads:
            thread.start()
            started.append(thread)
    finally:
        over.set()
        for thread in started:
            thread.join()


def _start_processes() -> None:
    """One too many."""
    for _ in range(MAX_PROCESSES + 1):
        if os.fork() == 0:
            os._exit(0)


PROBES: dict[str, Callable[[], object]] = {
    "list the home directories": lambda: os.listdir("/home"),
    "read /etc/passwd": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "read a process's environment": lambda: os.open("/proc/self/environ", os.O_RDONLY),
    "create a file": lambda: os.open("/tmp/sandbox-probe", os.O_CREAT | os.O_WRONLY),
    "change a library": lambda: os.open(os.__file__, os.O_WRONLY),
    # harmless where it succeeds; O_TRUNC, which Landlock lets through on old kernels, is refused by the same rule
    "open a library to append": lambda: os.open(os.__file__, os.O_RDWR if HAS_BOX else os.O_APPEND),
    "change the mode of a file": lambda: os.chmod(os.__file__, 0o644),
    "make an internet socket": lambda: socket.socket(socket.AF_INET),
    "make a local socket": lambda: socket.socket(socket.AF_UNIX),
    "start more processes than allowed": _start_processes,
    "start a program": lambda: os.execv(sys.executable if not MAX_PROCESSES else "/box", [sys.executable, "-c", "0"]),
    "start more threads than allowed": _start_threads,
    "signal its parent": lambda: os.kill(os.getppid(), 0),
    "signal every process": lambda: os.kill(-1, signal.SIGCONT),
    "raise its limits": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)),
    "make a memory file": lambda: os.memfd_create("probe"),
    "call io_uring": lambda: _kernel_call(425),
    "call bpf": lambda: _kernel_call({"x86_64": 321}.get(os.uname().machine, 280)),
}

for name, attempt in PROBES.items():
    try:
        attempt()
    except (OSError, RuntimeError, ValueError):
        continue
    print(name)
print("done")
