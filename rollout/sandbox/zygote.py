"""The fork server: a trusted process that preloads modules, locks itself and forks one child a call.

It runs as `python -m rollout.sandbox.zygote <socket> <settings>`, started by `rollout.sandbox.worker`, and never
reads a byte that code wrote. A call is: request with three descriptors → child locks itself further, reports that
it is ready, reads the source and runs it → the zygote waits, ends it at its deadline, and answers with its exit.
"""

import gc
import importlib
import json
import math
import os
import random
import select
import signal
import socket
import sys
from dataclasses import dataclass
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from os import _exit
from pathlib import Path

from rollout.sandbox import guest, isolation, seccomp
from rollout.sandbox.linux import machine
from rollout.sandbox.outcome import Limits
from rollout.sandbox.refusal import IsolationError
from rollout.sandbox.wire import EXIT_ERROR, MAX_MESSAGE_BYTES, READY, Reply, Request

_NUM_DESCRIPTORS = 3


@dataclass(frozen=True)
class Zygote:
    """State that every call shares."""

    host: socket.socket
    host_process: int
    """A pidfd: readable when the host has ended, even if something else still holds its socket."""
    limits: Limits
    filter: seccomp.Filter

    def serve(self) -> None:
        """Answer calls until the host is gone."""
        while self.host_process not in _wait_for(self.host.fileno(), self.host_process):
            message, descriptors, _, _ = socket.recv_fds(self.host, MAX_MESSAGE_BYTES, _NUM_DESCRIPTORS)
            if len(descriptors) != _NUM_DESCRIPTORS:  # the end of the stream
                return
            self.host.send(self._call(Request.unpack(message), descriptors).pack())

    def _call(self, request: Request, descriptors: list[int]) -> Reply:
        ready, say_ready = os.pipe()
        zygote = os.getpid()
        child = os.fork()
        if child == 0:
            self._become_guest(request.seed, descriptors, say_ready, zygote)
        for descriptor in (*descriptors, say_ready):
            os.close(descriptor)
        is_ready = os.read(ready, 1)
        os.close(ready)
        if not is_ready:  # only our own set-up precedes that byte, so this is no outcome of the code
            sys.exit("a child could not lock itself")
        return self._await(child, request.wall_s)

    def _await(self, child: int, wall_s: float) -> Reply:
        process = os.pidfd_open(child)
        # while a call runs, the host has nothing to say but goodbye
        events = _wait_for(process, self.host.fileno(), self.host_process, timeout_s=wall_s)
        if process not in events:
            os.kill(child, signal.SIGKILL)
        os.close(process)
        _, status, usage = os.wait4(child, 0)
        return Reply(not events, os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime)

    def _become_guest(self, seed: int, descriptors: list[int], say_ready: int, zygote: int) -> None:
        exit_code = EXIT_ERROR
        try:
            code, stdout, stderr = descriptors
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            _seed(seed)
            isolation.limit_child(self.limits.cpu_s, zygote)
            self.filter.install()
            os.write(say_ready, b"1")
            source = os.pread(code, self.limits.source_bytes, 0).decode()
            os.closerange(3, 2**16)
            gc.enable()
            exit_code = guest.run_cell(source)
        finally:
            _exit(exit_code)  # not looked up in `os`, which the code may have changed


def _wait_for(*descriptors: int, timeout_s: float | None = None) -> list[int]:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    events = poll.poll(None if timeout_s is None else math.ceil(timeout_s * 1000))
    return [descriptor for descriptor, _ in events]


def _seed(seed: int) -> None:
    random.seed(seed)
    if numpy_random := sys.modules.get("numpy.random"):
        numpy_random.seed(seed % 2**32)


def _forget_ourselves() -> None:
    """Leave nothing of this package to import, and no path of the host that cannot be read anyway."""
    readable = isolation.readable_paths()
    sys.path[:] = [entry for entry in sys.path if any(Path(entry).is_relative_to(path) for path in readable)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "rollout"]:
        del sys.modules[name]
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        del os.environ[name]


def main(host: socket.socket, limits: Limits, preload: list[str]) -> None:
    """Preload, lock, greet, serve."""
    # an editable installation finds modules outside the paths that can be read
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, PathFinder]
    allow_list = seccomp.Filter(seccomp.assemble(machine(), seccomp.policy(machine())))
    zygote = Zygote(host, os.pidfd_open(os.getppid()), limits, allow_list)
    for name in preload:
        importlib.import_module(name)
    guest.prepare_streams()
    try:
        isolation.lock(limits)
    except IsolationError as error:
        host.send(str(error).encode())
        return
    _forget_ourselves()
    gc.collect()
    gc.disable()
    gc.freeze()
    host.send(READY)
    zygote.serve()


if __name__ == "__main__":
    settings = json.loads(sys.argv[2])
    main(socket.socket(fileno=int(sys.argv[1])), Limits(**settings["limits"]), settings["preload"])
