"""What crosses the sockets between host, zygote and child: fixed structs, and file descriptors beside the requests.

A call's source, input and output never pass through the zygote: they lie in files and pipes that only host and child
open.
"""

import socket
from array import array
from collections.abc import Sequence
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

_REQUEST, _REPLY, _CELL, _DONE = Struct("<BQd"), Struct("<Bi"), Struct("<?Q16s"), Struct("<16sB")


class Kind(IntEnum):
    """What the host asks for."""

    CALL = 0
    """Run a source in a process of its own. Comes with the descriptors of source, stdin, stdout and stderr."""
    SESSION = 1
    """Begin a session. Comes with the socket on which its cells will be asked for."""
    CELL = 2
    """Run a source in the session whose socket this is. Comes with the descriptors of a CALL."""


class Request(NamedTuple):
    """From the host to a zygote, or to the keeper of a session."""

    kind: int
    """A Kind; as a plain number, since making it one again would cost the fork server 15 pages after each fork."""
    seed: int
    """Unsigned, 64 bit."""
    wall_s: float

    def pack(self) -> bytes:
        """As sent."""
        return _REQUEST.pack(*self)

    @classmethod
    def unpack(cls, message: bytes) -> "Request":
        """As received."""
        return cls._make(_REQUEST.unpack(message))


class Ending(IntEnum):
    """What ended a call."""

    EXIT = 0
    """The process ended by itself, or by somebody else's signal."""
    DONE = 1
    """A cell of a session is over and its process lives on."""
    WALL = 2
    CPU = 3
    FORGED = 4
    """A session's process wrote what only its runner should: it was ended."""
    IDLE = 5
    """A session was not used for too long, and was ended before this cell."""


class Reply(NamedTuple):
    """How a call ended."""

    ending: Ending
    exit_code: int
    """Or minus the signal that ended it."""

    def pack(self) -> bytes:
        """As sent."""
        return _REPLY.pack(*self)

    @classmethod
    def unpack(cls, message: bytes) -> "Reply":
        """As received."""
        ending, *rest = _REPLY.unpack(message)
        return cls(Ending(ending), *rest)


class Cell(NamedTuple):
    """From zygote or keeper to a child, with the four descriptors of a call."""

    is_last: bool
    """The child ends with it, and keeps no way to say anything."""
    seed: int
    token: bytes
    """16 random bytes that the answer must repeat."""

    def pack(self) -> bytes:
        """As sent."""
        return _CELL.pack(*self)

    @classmethod
    def unpack(cls, message: bytes) -> "Cell":
        """As received."""
        return cls._make(_CELL.unpack(message))


class Done(NamedTuple):
    """From the child of a session: a cell is over."""

    token: bytes
    exit_code: int

    def pack(self) -> bytes:
        """As sent."""
        return _DONE.pack(*self)

    @classmethod
    def unpack(cls, message: bytes) -> "Done":
        """As received, from a process that may have been taken over. Raises struct.error for another length."""
        return cls._make(_DONE.unpack(message))


MAX_MESSAGE_BYTES = 4096
NUM_DESCRIPTORS = 4
READY = b"ready"
"""The greeting of a zygote, or a child, when it is locked in; any other text is the reason why it cannot be."""

_RIGHTS_BYTES = socket.CMSG_LEN(NUM_DESCRIPTORS * array("i").itemsize)


def send(channel: socket.socket, message: bytes, descriptors: Sequence[int]) -> None:
    """Hand over a message, and copies of the descriptors. Raises OSError if the other side is gone.

    Like socket.send_fds, which imports a module in every call; a child pays for each page that it touches.
    """
    channel.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))])


def receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    """A message and the descriptors that came with it; empty at the end of the stream."""
    message, ancillary, _, _ = channel.recvmsg(MAX_MESSAGE_BYTES, _RIGHTS_BYTES)
    descriptors: list[int] = []
    for _, _, data in ancillary:
        descriptors.extend(memoryview(data).cast("i"))
    return message, descriptors


EXIT_OK, EXIT_ERROR, EXIT_MEMORY = 0, 1, 86
"""Exit codes of a call. Code can choose its own exit code, and so only ever tells on itself."""
