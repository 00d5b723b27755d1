"""Counts the threads of a call from outside, since no limit of the kernel does so for root or for one call.

A second filter hands every `clone` and every thread's `exit` to the zygote (seccomp user notification, kernel >= 5.19),
which lets so many live at a time. What else `clone` could do is refused by the allow-list, whatever is answered here.
"""

import errno
import fcntl
import os
from contextlib import suppress
from struct import Struct

from rollout.sandbox import seccomp
from rollout.sandbox.linux import Call, Machine

_NEW_LISTENER, _WAIT_KILLABLE = 1 << 3, 1 << 5
"""The second: once it is noticed, no signal makes a call start again, so that nothing is counted twice."""
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTICE, _ANSWER = Struct("=QIIi60x"), Struct("=QqiI")
_CONTINUE = 1


def listening(machine: Machine) -> Call:
    """Has the start and end of each thread of the process that calls handed to whoever listens; gives what to read the
    notices from, or the OSError of a kernel that cannot."""
    handed_over = {machine.numbers[name]: seccomp.RETURN_NOTIFY for name in ("clone", "exit")}
    program = seccomp.assemble(machine, handed_over, seccomp.RETURN_ALLOW)
    return seccomp.installation(program, _NEW_LISTENER | _WAIT_KILLABLE)


def can_listen(call: Call) -> bool:
    """Whether threads can be counted here: tried in a process that ends at once."""
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            call.make()
            os._exit(0)
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0


class ThreadCount:
    """The living threads of one process, besides its first."""

    def __init__(self, listener: int, machine: Machine, limit: int) -> None:
        self.listener = listener
        self._exit = machine.numbers["exit"]
        self._limit = limit
        self._living = 0

    def answer(self) -> None:
        """Answer one notice: a thread may end, and may start while there are fewer than the limit."""
        notice = bytearray(_NOTICE.size)
        with suppress(FileNotFoundError):  # whoever asked was ended meanwhile
            fcntl.ioctl(self.listener, _RECEIVE, notice)
            number, _, _, call = _NOTICE.unpack(notice)
            change = -1 if call == self._exit else 1
            refused = change > 0 and self._living >= self._limit
            error, flags = (-errno.EAGAIN, 0) if refused else (0, _CONTINUE)
            fcntl.ioctl(self.listener, _SEND, _ANSWER.pack(number, 0, error, flags))
            self._living += 0 if refused else change
