"""A process, mount and IPC namespace for one call, with a small writable file system in it."""

import ctypes
import os
from functools import cache
from pathlib import Path

from rollout.sandbox import linux
from rollout.sandbox.linux import Buffer, Call, prepared
from rollout.sandbox.outcome import Limits
from rollout.sandbox.places import BOX

_NEW_MOUNTS, _NEW_IPC, _NEW_PROCESSES = 0x00020000, 0x08000000, 0x20000000
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_PROGRAMS = 1, 2, 4, 8


_LEAVE = prepared("unshare", _NEW_PROCESSES)


def fork() -> int:
    """Like os.fork, but the child is the first process of a namespace, all of which ends with it."""
    way_back = _way_back(os.getpid())
    _LEAVE.make()
    pid = linux.fork()
    if pid:
        way_back.make()
    return pid


@cache
def _way_back(process: int) -> Call:
    """Into the namespace of this process, which may look up no other's."""
    return prepared("setns", os.pidfd_open(process), _NEW_PROCESSES)


def entry(limits: Limits) -> tuple[Call, ...]:
    """Mounts the box, for the process that calls, and goes there."""
    options = f"size={limits.disk_bytes},nr_inodes={limits.num_inodes},mode=700"
    return (
        prepared("unshare", _NEW_MOUNTS | _NEW_IPC),
        _mount(BOX, _NO_SUID | _NO_DEVICES | _NO_PROGRAMS, options),
        prepared("chdir", _text(BOX)),
    )


def cover(directory: Path) -> None:
    """Put an empty file system that nobody may enter over a directory, for this process and its children."""
    _mount(str(directory), _READ_ONLY, "nr_inodes=1,mode=000").make()


def _mount(place: str, flags: int, options: str) -> Call:
    kind = _text("tmpfs")
    return prepared("mount", kind, _text(place), kind, flags, _text(options))


def _text(text: str) -> Buffer:
    return ctypes.create_string_buffer(text.encode())
