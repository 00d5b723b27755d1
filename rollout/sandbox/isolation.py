"""Locks the zygote, and with it every child: namespaces, user, capabilities, Landlock, limits."""

import ctypes
import mmap
import os
import resource
import signal
import sys
from contextlib import suppress
from struct import pack

from rollout.sandbox import box, landlock, seccomp
from rollout.sandbox.linux import (
    PR_SET_DUMPABLE,
    PR_SET_KEEPCAPS,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    Call,
    prctl,
    prepared,
    syscall,
)
from rollout.sandbox.outcome import Limits
from rollout.sandbox.places import PACKAGE, library_paths, readable_paths
from rollout.sandbox.refusal import IsolationError
from rollout.sandbox.tier import Tier

_NEW_NET, _NEW_IPC, _NEW_USER = 0x40000000, 0x08000000, 0x10000000
_CAPABILITY_VERSION_3 = 0x20080522
_SYS_ADMIN = 1 << 21
_MAX_ADDRESS_BITS = 47
_ROUNDED_BYTES = 2**22
"""Zygotes differ by some pages; their calls should not."""


def lock(limits: Limits, tier: Tier, user: int) -> None:
    """Lock this process for ever. Root becomes `user`, if that user can read the interpreter.

    Raises IsolationError where the kernel refuses an indispensable layer.
    """
    _require_seccomp()
    base_bytes = _address_space_bytes()
    if tier is Tier.LANDLOCK:
        _leave_namespaces()
    _drop_user(user)
    keep_capabilities(_SYS_ADMIN if tier is Tier.BWRAP else 0).make()
    prctl(PR_SET_DUMPABLE, 0).make()
    prctl(PR_SET_NO_NEW_PRIVS, 1).make()
    if tier is Tier.BWRAP:
        box.cover(PACKAGE)
    else:
        _close_files()
    _limit(limits, base_bytes)


def _require_seccomp() -> None:
    try:
        seccomp.require()
    except OSError as error:
        raise IsolationError(
            f"seccomp filters are not available ({error}): use a kernel with CONFIG_SECCOMP_FILTER, and in a container "
            "a seccomp profile that allows the seccomp system call (Docker's default does)"
        ) from error


def _address_space_bytes() -> int:
    """What this process occupies, rounded up, found by trying limits: a namespace need not have a /proc to read it from."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # glibc's: give back what a call would find free
        trim(0)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    low, high = 0, 2**_MAX_ADDRESS_BITS if hard == resource.RLIM_INFINITY else hard
    while high - low > resource.getpagesize():
        middle = (low + high) // 2
        low, high = (low, middle) if _has_room(middle, hard) else (middle, high)
    return -(-high // _ROUNDED_BYTES) * _ROUNDED_BYTES


def _has_room(limit_bytes: int, hard: int) -> bool:
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, hard))
    try:
        mmap.mmap(-1, resource.getpagesize()).close()
    except OSError:
        return False
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    return True


def _leave_namespaces() -> None:
    """A network and IPC namespace of its own, where the machine grants one: a second wall behind seccomp."""
    for flags in (_NEW_NET | _NEW_IPC, _NEW_USER | _NEW_NET | _NEW_IPC):
        with suppress(OSError):
            syscall("unshare", flags)
            return


def _drop_user(user: int) -> None:
    """From root to an ordinary user; else root stays, but without its capabilities."""
    if os.geteuid() != 0:
        return
    libraries = library_paths()
    prctl(PR_SET_KEEPCAPS, 1).make()
    with suppress(OSError):  # a container may grant neither other users nor the right to become one
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, 0)
        readable = all(os.access(path, os.R_OK, effective_ids=True) for path in libraries)
        final = user if readable else 0
        os.setresuid(final, final, final)


def keep_capabilities(kept: int) -> Call:
    """Gives up all others."""
    header = ctypes.create_string_buffer(pack("=Ii", _CAPABILITY_VERSION_3, 0), 8)
    return prepared("capset", header, ctypes.create_string_buffer(pack("=6I", kept, kept, 0, 0, 0, 0), 24))


def _close_files() -> None:
    try:
        landlock.read_only(readable_paths())
    except OSError as error:
        raise IsolationError(
            f"Landlock is not available ({error}): use a kernel >= 5.13 with `landlock` in its `lsm=` boot list, "
            "and in a container a seccomp profile that allows the landlock_* system calls (Docker's default does)"
        ) from error


def _limit(limits: Limits, base_bytes: int) -> None:
    memory_bytes = base_bytes + limits.memory_bytes
    for kind, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, limits.disk_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        resource.setrlimit(kind, (value, value))


def file_limit(limits: Limits) -> Call:
    """Bounds the open files of the process that calls.

    For a child alone, once it has nothing more to send: the kernel compares the same number with the descriptors on their
    way between any two processes of the user, whoever sends them. Raises IsolationError where the machine allows less.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most != resource.RLIM_INFINITY and limits.num_files > most:
        raise IsolationError(
            f"num_files={limits.num_files}: a process may have at most {most} here; set it to that, or raise `ulimit -Hn`"
        )
    bound = ctypes.create_string_buffer(pack("=QQ", limits.num_files, limits.num_files), 16)
    return prepared("prlimit64", 0, resource.RLIMIT_NOFILE, bound, 0)


def confinement(limits: Limits, tier: Tier) -> tuple[Call, ...]:
    """What a child does first: enter its box, give up what the lock has kept, and die with its parent."""
    boxed = (*box.entry(limits), keep_capabilities(0)) if tier is Tier.BWRAP else ()
    return (*boxed, prctl(PR_SET_PDEATHSIG, signal.SIGKILL))


def require_parent(parent: int) -> None:
    """End this child if its parent ended before they were tied together."""
    if os.getppid() not in (parent, 0):  # 0: the parent lies outside the child's process namespace, which ends with it
        sys.exit("the zygote ended before its child began")
