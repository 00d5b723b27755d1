"""What crosses the socket between host and zygote: fixed structs, and file descriptors beside the request.

A call's source and output never pass through the zygote: they lie in memory files that only host and child open.
"""

from struct import Struct
from typing import NamedTuple

_REQUEST, _REPLY = Struct("<Qd"), Struct("<?id")


class Request(NamedTuple):
    """Comes with the descriptors of source, stdout and stderr."""

    seed: int
    """Unsigned, 64 bit."""
    wall_s: float

    def pack(self) -> bytes:
        """As sent to the zygote."""
        return _REQUEST.pack(*self)

    @classmethod
    def unpack(cls, message: bytes) -> "Request":
        """As received by the zygote."""
        return cls._make(_REQUEST.unpack(message))


class Reply(NamedTuple):
    """How a child ended."""

    timed_out: bool
    exit_code: int
    """Or minus the signal that ended it."""
    cpu_s: float

    def pack(self) -> bytes:
        """As sent to the host."""
        return _REPLY.pack(*self)

    @classmethod
    def unpack(cls, message: bytes) -> "Reply":
        """As received by the host."""
        return cls._make(_REPLY.unpack(message))


MAX_MESSAGE_BYTES = 4096
READY = b"ready"
"""The zygote's greeting when it is locked in; any other text is the reason why it cannot be."""

EXIT_OK, EXIT_ERROR, EXIT_MEMORY = 0, 1, 86
"""Exit codes of a call. Code can choose its own exit code, and so only ever tells on itself."""
