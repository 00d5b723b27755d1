"""Counts the threads and processes of a call from outside, since no limit of the kernel does so for root or for one call.

A second filter hands every `clone` and `fork` and every end to the zygote (seccomp user notification, kernel >= 5.19),
which lets so many threads live at a time, and so many processes start in all; and it learns how the call ends before the
kernel clears its memory up, which takes a millisecond and more. What else `clone` could do is refused by the allow-list,
whatever is answered here.
"""

import errno
import fcntl
import os
import signal
from contextlib import suppress
from struct import Struct
from typing import NamedTuple

from rollout.sandbox import seccomp
from rollout.sandbox.linux import Call, Machine
from rollout.sandbox.outcome import Limits

_NEW_LISTENER, _WAIT_KILLABLE = 1 << 3, 1 << 5
"""The second: once it is noticed, no signal makes a call start again, so that nothing is counted twice."""
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTICE, _ANSWER = Struct("=QIIi12xQ40x"), Struct("=QqiI")
_CLONE_THREAD = 0x10000
_CONTINUE = 1
_HANDED_OVER = ("clone", "fork", "vfork", "exit", "exit_group")
_EXIT_CODE = 0xFF
"""What of the argument a parent is told."""


class Numbers(NamedTuple):
    """Of the system calls that are told apart."""

    clone: int
    exit: int
    exit_group: int

    @classmethod
    def of(cls, machine: Machine) -> "Numbers":
        """Looked up once, before any fork."""
        return cls(*(machine.numbers[name] for name in cls._fields))


def listening(machine: Machine) -> Call:
    """Has the start and end of each thread of the process that calls handed to whoever listens; gives what to read the
    notices from, or the OSError of a kernel that cannot."""
    handed_over = {machine.numbers[name]: seccomp.RETURN_NOTIFY for name in _HANDED_OVER if name in machine.numbers}
    program = seccomp.assemble(machine, handed_over, seccomp.RETURN_ALLOW)
    return seccomp.installation(program, _NEW_LISTENER | _WAIT_KILLABLE)


def can_listen(call: Call) -> bool:
    """Whether threads can be counted here: tried in a process that ends at once."""
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            call.make()
            os.kill(os.getpid(), signal.SIGKILL)  # its exit would be handed over, and nobody listens
        os._exit(1)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


class TaskCount:
    """The living threads of a call, besides its first, and the processes that it has started.

    pid: of its first process, whose end is the call's.
    """

    def __init__(self, listener: int, pid: int, numbers: Numbers, limits: Limits) -> None:
        self.listener = listener
        self._pid = pid
        self._clone, self._exit, self._exit_group = numbers
        self._limits = limits
        self._num_threads = self._num_processes = 0

    def answer(self) -> int | None:
        """Answer one notice: a thread may end, and a thread or process may start while there are fewer than the limit.

        Returns the exit code with which the call is about to end, if that is what it says; it then waits to be ended.
        """
        notice = bytearray(_NOTICE.size)
        try:
            fcntl.ioctl(self.listener, _RECEIVE, notice)
            number, thread, _, call, argument = _NOTICE.unpack(notice)
            if call == self._exit_group and thread == self._pid:
                return int(argument & _EXIT_CODE)
            error, then = (0, _CONTINUE) if self._allows(call, argument) else (-errno.EAGAIN, 0)
            fcntl.ioctl(self.listener, _SEND, _ANSWER.pack(number, 0, error, then))
        except FileNotFoundError:  # whoever asked was ended meanwhile
            pass
        return None

    def _allows(self, call: int, flags: int) -> bool:
        """Whether it may happen; if so it is counted."""
        if call == self._exit_group:
            return True
        if call == self._exit:
            self._num_threads -= 1
            return True
        if call == self._clone and flags & _CLONE_THREAD:
            if self._num_threads >= self._limits.num_threads:
                return False
            self._num_threads += 1
            return True
        self._num_processes += 1
        return self._num_processes <= self._limits.num_processes
