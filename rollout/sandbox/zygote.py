"""The fork server: a trusted process that preloads modules, locks itself and forks one child a call.

It runs as `python -m rollout.sandbox.zygote <socket> <host> <settings>`, started by `rollout.sandbox.worker`, and never
reads a byte that code wrote. A child waits, locked, before its call comes; the call's request with its descriptors is
handed on; the zygote waits, ends the child at its limits, and answers with its exit. A session has a keeper of its own.
"""

import gc
import importlib
import json
import os
import socket
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path

from rollout.sandbox import guest, heap, isolation, keeper, linux, seccomp, threads, warmth
from rollout.sandbox.child import Cage, Child
from rollout.sandbox.linux import machine
from rollout.sandbox.outcome import Limits
from rollout.sandbox.places import readable_paths
from rollout.sandbox.refusal import IsolationError
from rollout.sandbox.tier import Tier
from rollout.sandbox.waiting import wait_for
from rollout.sandbox.wire import READY, Kind, Request, receive, send

_NUM_PRACTICES = 10
"""Fewer leave pages that a later fork is the first to write to."""
_STDIN, _STDOUT = 0, 1
_NUM_SPARES = 2
"""To be ready takes a child longer than most calls take."""
_MAX_DYING = 1
"""Before the next call begins: what ended may hold as much memory as what runs."""
_STACK_BYTES = 2**20
"""Of a thread: the default of 8 MiB would use up a call's address space."""


@dataclass
class Zygote:
    """State that every call shares."""

    host: socket.socket
    host_process: int
    """A pidfd: readable when the host has ended, even if something else still holds its socket."""
    cage: Cage
    keepers: dict[int, int] = field(default_factory=dict)
    """Process descriptor → id, of those that keep a session."""
    spares: deque[Child] = field(default_factory=deque)
    """Children that wait, the oldest first: it had the most time to make itself ready."""
    dying: dict[int, Child] = field(default_factory=dict)
    """By their processes: children that were killed, whose memory the kernel clears up while others run."""

    def serve(self) -> None:
        """Answer calls until the host is gone."""
        for _ in range(_NUM_SPARES):
            self.spares.append(Child.fork(self.cage))
        while self.host_process not in self._wait():
            message, descriptors = receive(self.host)
            if not descriptors:  # the end of the stream
                return
            request = Request.unpack(message)
            if request.kind == Kind.SESSION:
                self._open_session(descriptors[0])
            elif not self._answered(request, descriptors):
                return

    def _wait(self) -> list[int]:
        """For the host; meanwhile reap who has died."""
        while True:
            ready = wait_for([self.host.fileno(), self.host_process, *self.dying, *self.keepers])
            for process in ready:
                if process in self.dying:
                    self.dying.pop(process).reap()
                elif process in self.keepers:
                    os.waitpid(self.keepers.pop(process), 0)
                    os.close(process)
            if self.host_process in ready or self.host.fileno() in ready:
                return ready

    def _answered(self, request: Request, descriptors: Sequence[int]) -> bool:
        child = self.spares.popleft()
        child.begin(request, descriptors, is_last=True)
        self.spares.append(Child.fork(self.cage))  # while the call runs
        # meanwhile the host has nothing to say but goodbye
        reply = child.finish(request.wall_s, None, [self.host.fileno(), self.host_process])
        if not child.is_reaped:
            self.dying[child.process] = child
        if reply is not None:
            self.host.send(reply.pack())
        while len(self.dying) > _MAX_DYING:
            self.dying.pop(next(iter(self.dying))).reap()
        return reply is not None

    def _open_session(self, descriptor: int) -> None:
        pid = linux.fork()
        if pid == 0:
            self.host.close()
            for child in (*self.spares, *self.dying.values()):
                child.disown()
            for process in self.keepers:
                os.close(process)
            keeper.keep(socket.socket(fileno=descriptor), self.host_process, self.cage)
            os._exit(0)
        self.keepers[os.pidfd_open(pid)] = pid
        os.close(descriptor)


def _forget_ourselves() -> None:
    """Leave nothing of this package to import, and no path of the host that cannot be read anyway."""
    readable = readable_paths()
    sys.path[:] = [entry for entry in sys.path if any(Path(entry).is_relative_to(path) for path in readable)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "rollout"]:
        del sys.modules[name]
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        del os.environ[name]


def _cage(limits: Limits, tier: Tier) -> Cage:
    listening = threads.listening(machine())
    counted = limits.num_threads + limits.num_processes > 0 and threads.can_listen(listening)
    if limits.num_processes and not (counted and tier is Tier.BWRAP):
        raise IsolationError(
            f"num_processes={limits.num_processes}: the tier {tier} cannot count the processes of a call here and end them "
            "with it; set it to 0, or use the tier bwrap on a kernel >= 5.19"
        )
    policy = seccomp.policy(machine(), box=tier is Tier.BWRAP, threads=counted, processes=limits.num_processes > 0)
    return Cage(
        limits=limits,
        has_namespace=tier is Tier.BWRAP,
        confinement=isolation.confinement(limits, tier),
        listening=listening if counted else None,
        numbers=threads.Numbers.of(machine()),
        file_limit=isolation.file_limit(limits),
        allow_list=seccomp.installation(seccomp.assemble(machine(), policy)),
    )


def _practise(host_process: int, cage: Cage) -> None:
    """Answer some calls for nobody: afterwards this process writes to little memory that it has not written to before."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    source = os.memfd_create("practice")
    with ours, theirs:
        for _ in range(_NUM_PRACTICES):
            send(ours, Request(Kind.CALL, 0, cage.limits.wall_s).pack(), [source, _STDIN, _STDOUT, _STDOUT])
        ours.shutdown(socket.SHUT_WR)
        zygote = Zygote(theirs, host_process, cage)
        zygote.serve()
    for child in (*zygote.spares, *zygote.dying.values()):
        child.end()
    os.close(source)


def main(host: socket.socket, host_process: int, limits: Limits, tier: Tier, preload: list[str], user: int) -> None:
    """Preload, lock, practise, greet, serve."""
    # an editable installation finds modules outside the paths that can be read
    gc.disable()
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, PathFinder]
    for name in preload:
        importlib.import_module(name)
    warmth.warm()
    threading.stack_size(_STACK_BYTES)
    _forget_ourselves()
    gc.collect()
    gc.freeze()
    heap.fill_gaps()
    guest.prepare()
    try:
        isolation.lock(limits, tier, user)
        cage = _cage(limits, tier)
    except IsolationError as error:
        host.send(str(error).encode())
        return
    _practise(host_process, cage)
    gc.freeze()
    heap.collapse()
    host.send(READY + json.dumps({"counts_threads": cage.listening is not None}).encode())
    Zygote(host, host_process, cage).serve()


if __name__ == "__main__":
    given = json.loads(sys.argv[3])
    main(
        socket.socket(fileno=int(sys.argv[1])),
        int(sys.argv[2]),
        Limits(**given["limits"]),
        Tier(given["tier"]),
        given["preload"],
        given["user"],
    )
