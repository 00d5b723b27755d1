"""What a call may use, and what came of it."""

import math
from dataclasses import dataclass, fields
from enum import StrEnum

_MINIMA = {
    "memory_bytes": 2**24 - 1,
    "output_bytes": 2**8 - 1,
    "source_bytes": 2**12 - 1,
    "num_files": 15,
    "num_inodes": 1,
    "num_threads": -1,
    "num_processes": -1,
}
"""Not enough: of memory and files for the interpreter, of source and output for the self-test, of inodes for a
box with anything in it."""


class Status(StrEnum):
    """How a call ended. None of these is a failure of the infrastructure: that is an exception."""

    OK = "ok"
    ERROR = "error"
    """An exception reached the top, or the code ended itself with a non-zero exit code."""
    TIMEOUT = "timeout"
    CPU_LIMIT = "cpu_limit"
    MEMORY = "memory"
    """A MemoryError reached the top, or the kernel ended the call for want of memory."""
    OUTPUT_LIMIT = "output_limit"
    SIGNAL = "signal"
    """A signal ended the call: a segmentation fault, an abort, a foreign system-call table."""
    REJECTED = "rejected"
    """The source was never run: too large, a NUL character, or no valid Unicode."""
    SESSION_LOST = "session_lost"
    """The cell was not run, or not to its end, since the session is gone: idle for too long, displaced, or corrupted."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one call, or of a session and its cells."""

    wall_s: float = 5.0
    """Of a call or cell, from the moment it may run; waiting for a free worker does not count."""
    cpu_s: float = 5.0
    """Of a call or cell, over all its threads."""
    memory_bytes: int = 256 * 2**20
    """Address space above what the interpreter and its preloaded modules occupy, to within some MiB."""
    output_bytes: int = 65_536
    """Of stdout and of stderr, each."""
    source_bytes: int = 65_536
    num_files: int = 32
    """Open file descriptors."""
    num_threads: int = 32
    """Besides the first. Where they cannot be counted there are none (`Sandbox.describe`)."""
    num_processes: int = 0
    """That a call may start, all in all. Only the tier `bwrap` can end them with the call, so that only there any may be asked
    for, and not for sessions. Each has `memory_bytes` of its own; `cpu_s` counts the first process alone."""
    disk_bytes: int = 32 * 2**20
    """What may be written to `/box`, in the tier that has one; also the largest file."""
    num_inodes: int = 1024
    """Files and directories in `/box`."""
    idle_s: float = 900.0
    """Of a session between two cells."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, minimum = getattr(self, field.name), _MINIMA.get(field.name, 0)
            if not minimum < value < math.inf:
                raise ValueError(f"sandbox limit {field.name}={value}: give a finite value above {minimum}")


@dataclass(frozen=True)
class Outcome:
    """The result of one call, as data.

    >>> Outcome(Status.OK, stdout="2\\n", stderr="", truncated=False).status
    <Status.OK: 'ok'>
    """

    status: Status
    stdout: str
    """Printed text, then the `repr` of a last expression; undecodable bytes become U+FFFD."""
    stderr: str
    """What was written to stderr, then the traceback, trimmed to the frames of the call's own source."""
    truncated: bool
    """Whether stdout or stderr lost bytes to the output limit."""
    state_lost: bool = False
    """Of a cell: whether the session's variables ended with it. The next cell starts afresh."""
