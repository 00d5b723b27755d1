"""One call over a socket: the request with its descriptors there, what was printed and how it ended back."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from rollout.errors import InfrastructureError
from rollout.sandbox.outcome import Limits, Outcome, Status
from rollout.sandbox.waiting import events, poll_of
from rollout.sandbox.wire import EXIT_MEMORY, EXIT_OK, MAX_MESSAGE_BYTES, Ending, Kind, Reply, Request, send

_GRACE_S = 30.0
"""Beyond the deadline, which the zygote keeps: only a zygote that hangs takes longer."""
_CHUNK_BYTES = 65_536
_ENDINGS = {
    Ending.WALL: Status.TIMEOUT,
    Ending.CPU: Status.CPU_LIMIT,
    Ending.FORGED: Status.SESSION_LOST,
    Ending.IDLE: Status.SESSION_LOST,
}
_WORDS = {
    Ending.FORGED: "the session was corrupted by its own code, and ended",
    Ending.IDLE: "the session was idle for too long and had ended before this cell, which was not run",
}


class KilledError(InfrastructureError):
    """A call was killed from outside: by the kernel for want of memory, or by somebody."""


def exchange(channel: socket.socket, request: Request, source: bytes, stdin: bytes, limits: Limits) -> Outcome:
    """Make a call. Raises OSError or InfrastructureError if the other side is lost."""
    with ExitStack() as files:
        code = files.enter_context(memory_file(source))
        given = files.enter_context(memory_file(stdin) if stdin else _nothing())
        stdout, stderr = (files.enter_context(_Capture(limits.output_bytes)) for _ in range(2))
        with suppress(BrokenPipeError):  # a session that has ended may have said why before
            send(channel, request.pack(), [code, given, stdout.write_end, stderr.write_end])
        stdout.close_write_end()
        stderr.close_write_end()
        reply = _reply(channel, [stdout, stderr], time.monotonic() + request.wall_s + _GRACE_S)
    return _outcome(reply, stdout, stderr, is_cell=request.kind == Kind.CELL)


def _reply(channel: socket.socket, captures: list["_Capture"], deadline: float) -> Reply:
    """Read what is printed until the reply comes, and then what is left."""
    open_captures = {capture.read_end: capture for capture in captures}
    poll = poll_of([channel.fileno(), *open_captures])
    while True:
        ready = events(poll, max(0.0, deadline - time.monotonic()))
        if not ready:
            raise InfrastructureError("it does not answer")
        for descriptor in ready:
            if descriptor in open_captures and not open_captures[descriptor].take():
                poll.unregister(descriptor)
        if channel.fileno() in ready:
            break
    message = channel.recv(MAX_MESSAGE_BYTES)
    if not message:
        raise InfrastructureError("it ended during a call")
    for capture in captures:
        while capture.take():
            pass
    return Reply.unpack(message)


class _Capture:
    """A pipe whose reading end is closed, so that writing fails, once more than the limit has come."""

    def __init__(self, max_bytes: int) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        self._max_bytes = max_bytes
        self._data = bytearray()
        self._is_open = True

    def __enter__(self) -> "_Capture":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self.close_write_end()

    def _close(self) -> None:
        if self._is_open:
            os.close(self.read_end)
        self._is_open = False

    def close_write_end(self) -> None:
        """Called when the other side has its own."""
        if self.write_end >= 0:
            os.close(self.write_end)
        self.write_end = -1

    def take(self) -> bool:
        """Read what is there; False if nothing is, or nothing more will be."""
        if not self._is_open:
            return False
        try:
            chunk = os.read(self.read_end, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        self._data += chunk
        if self.is_over:
            self._close()
        return self._is_open and bool(chunk)

    @property
    def is_over(self) -> bool:
        """Whether more came than is kept."""
        return len(self._data) > self._max_bytes

    @property
    def text(self) -> str:
        """What is kept."""
        return bytes(self._data[: self._max_bytes]).decode(errors="replace")


def _outcome(reply: Reply, stdout: _Capture, stderr: _Capture, *, is_cell: bool) -> Outcome:
    if reply.ending is Ending.EXIT and reply.exit_code == -signal.SIGKILL:  # code cannot send itself this one
        raise KilledError("a call in the sandbox was killed from outside")
    truncated = stdout.is_over or stderr.is_over
    status = Status.OUTPUT_LIMIT if truncated else _status(reply)
    told = "\n".join(text for text in (stderr.text, _WORDS.get(reply.ending)) if text)
    return Outcome(status, stdout.text, told, truncated, state_lost=is_cell and reply.ending is not Ending.DONE)


def _status(reply: Reply) -> Status:
    if reply.ending in _ENDINGS:
        return _ENDINGS[reply.ending]
    if reply.exit_code == EXIT_MEMORY:
        return Status.MEMORY
    if reply.exit_code < 0:
        return Status.SIGNAL
    return Status.OK if reply.exit_code == EXIT_OK else Status.ERROR


@contextmanager
def memory_file(content: bytes = b"") -> Iterator[int]:
    """A file without a name that is read from its start."""
    descriptor = os.memfd_create("sandbox")
    try:
        if content:
            os.pwrite(descriptor, content, 0)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _nothing() -> Iterator[int]:
    descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
