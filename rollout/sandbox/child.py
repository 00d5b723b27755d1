"""A single-use process that is forked and locked ahead of time, and waits for something to run."""

import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from os import _exit
from typing import Self

from rollout.sandbox import box, guest, isolation, linux, threads
from rollout.sandbox.linux import Call
from rollout.sandbox.outcome import Limits
from rollout.sandbox.waiting import events, poll_of
from rollout.sandbox.wire import EXIT_ERROR, MAX_MESSAGE_BYTES, READY, Cell, Done, Ending, Reply, Request, receive, send

_ABOVE_STANDARD = 3
_TOKEN_BYTES = 16
_EXIT_S = 0.2
"""Between the closing of a process's descriptors and its end."""
_CPU_CLOCK = 2
_NUM_CPUS = os.cpu_count() or 1


@dataclass(frozen=True)
class Cage:
    """How the children of a zygote are confined."""

    limits: Limits
    has_namespace: bool
    """A process namespace of its own for each."""
    confinement: tuple[Call, ...]
    listening: Call | None
    """Gives what threads are counted by; None where they cannot be counted: then there are none."""
    numbers: threads.Numbers
    file_limit: Call
    allow_list: Call


class Child:
    """The zygote's side of such a process. Reap it when it is to end."""

    def __init__(self, pid: int, control: socket.socket, cage: Cage) -> None:
        self.pid, self.process = pid, os.pidfd_open(pid)
        self._control, self._cage = control, cage
        self._threads: threads.TaskCount | None = None
        self._exit_code: int | None = None
        self.has_begun = False
        """Whether code was handed to it: before that, its end is no outcome of code."""

    @classmethod
    def fork(cls, cage: Cage) -> Self:
        """Returns in the parent alone."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        pid = box.fork() if cage.has_namespace else linux.fork()
        if pid == 0:
            _live(cage, theirs, parent)
        theirs.close()
        return cls(pid, ours, cage)

    def begin(self, request: Request, descriptors: Sequence[int], *, is_last: bool) -> bytes:
        """Hand over what is to be run, and close our copies. Returns the token of the cell."""
        if self.has_begun:
            signal.pidfd_send_signal(self.process, signal.SIGCONT)
        else:
            self._await_ready()
        self.has_begun = True
        token = os.urandom(_TOKEN_BYTES)
        send(self._control, Cell(is_last, request.seed, token).pack(), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        return token

    def _await_ready(self) -> None:
        """Only our own set-up precedes that word, so that its absence is no outcome of the code."""
        if self._cage.listening:
            _, listeners = receive(self._control)
            if listeners:
                self._threads = threads.TaskCount(listeners[0], self.pid, self._cage.numbers, self._cage.limits)
        if self._control.recv(MAX_MESSAGE_BYTES) != READY:
            sys.exit("a child could not lock itself")

    def finish(self, wall_s: float, token: bytes | None, watched: Sequence[int]) -> Reply | None:
        """Wait for the end of what was begun, within its limits; None if one of `watched` was first.

        token: of a cell that is not the last. Unless the ending is DONE, the process runs no more: `reap` it, which takes
        the kernel a millisecond and more.
        """
        start, cpu_before_s = time.monotonic(), self._cpu_s()
        told = [] if token is None else [self._control.fileno()]
        counted = [self._threads.listener] if self._threads else []
        poll = poll_of([self.process, *counted, *told, *watched])
        while True:
            used_s = self._cpu_s() - cpu_before_s
            left_s = wall_s - (time.monotonic() - start), self._cage.limits.cpu_s - used_s
            if min(left_s) <= 0:
                return self._killed(Ending.WALL if left_s[0] <= 0 else Ending.CPU)
            happened = events(poll, min(left_s[0], left_s[1] / _NUM_CPUS))
            if self.process in happened:
                return Reply(Ending.EXIT, self.reap())
            if self._threads and self._threads.listener in happened:
                if happened[self._threads.listener] & select.POLLIN:
                    exit_code = self._threads.answer()
                    if exit_code is not None:
                        return self._killed(Ending.EXIT, exit_code)
                else:  # whoever was counted has ended, and the kernel clears up
                    poll.unregister(self._threads.listener)
            elif token is not None and self._control.fileno() in happened:
                return self._done(token, watched)
            elif happened:
                self.kill()
                return None

    def _done(self, token: bytes, watched: Sequence[int]) -> Reply | None:
        message = self._control.recv(MAX_MESSAGE_BYTES)
        if not message:
            reply = self.finish(_EXIT_S, None, watched)
            return reply if reply is None or reply.ending is Ending.EXIT else Reply(Ending.FORGED, reply.exit_code)
        try:
            done = Done.unpack(message)
        except struct.error:
            return self._killed(Ending.FORGED)
        if done.token != token:
            return self._killed(Ending.FORGED)
        signal.pidfd_send_signal(self.process, signal.SIGSTOP)  # its threads rest between cells
        return Reply(Ending.DONE, done.exit_code)

    def _cpu_s(self) -> float:
        return time.clock_gettime(~self.pid << 3 | _CPU_CLOCK)

    def kill(self) -> None:
        """Let it run no more, whatever it does."""
        signal.pidfd_send_signal(self.process, signal.SIGKILL)

    def end(self) -> int:
        """Kill and reap it. Returns as `reap` does."""
        self.kill()
        return self.reap()

    def _killed(self, ending: Ending, exit_code: int = 0) -> Reply:
        self.kill()
        return Reply(ending, exit_code)

    @property
    def is_reaped(self) -> bool:
        """Whether nothing is left of it."""
        return self._exit_code is not None

    def reap(self) -> int:
        """Wait until nothing is left of it. Returns its exit code, or minus the signal that ended it."""
        if self._exit_code is None:
            _, status = os.waitpid(self.pid, 0)
            self._exit_code = os.waitstatus_to_exitcode(status)
            self._close()
        return self._exit_code

    def disown(self) -> None:
        """In a fork of the parent: leave it alone."""
        self._close()

    def _close(self) -> None:
        self._control.close()
        os.close(self.process)
        if self._threads:
            os.close(self._threads.listener)


def _live(cage: Cage, control: socket.socket, parent: int) -> None:
    """The whole life of the child. `control` is its one descriptor besides the standard three, until its last cell."""
    try:
        os.closerange(_ABOVE_STANDARD, control.fileno())
        os.closerange(control.fileno() + 1, 2**16)
        _get_ready(cage, control, parent)
        guest.serve(control, cage.limits.source_bytes)
    finally:
        try:
            control.close()  # the zygote waits for a word, or for its absence, before it lets a process end
        finally:
            _exit(EXIT_ERROR)  # not looked up in `os`, which the code may have changed


def _get_ready(cage: Cage, control: socket.socket, parent: int) -> None:
    try:
        _confine(cage, control, parent)
        guest.rehearse()
        control.send(READY)
    except OSError as error:
        sys.stderr.write(f"a child: {error}\n")  # the zygote's own, where the host finds it
        raise


def _confine(cage: Cage, control: socket.socket, parent: int) -> None:
    for call in cage.confinement:
        call.make()
    isolation.require_parent(parent)
    if cage.listening:
        listener = cage.listening.make()
        send(control, READY, [listener])
        os.close(listener)
    cage.file_limit.make()
    cage.allow_list.make()
