"""Locks the zygote, and with it every child: namespaces, user, capabilities, Landlock, limits."""

import ctypes
import math
import os
import resource
import signal
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from struct import pack

from rollout.sandbox import landlock, seccomp
from rollout.sandbox.linux import PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, prctl, syscall
from rollout.sandbox.outcome import Limits
from rollout.sandbox.refusal import IsolationError

_NOBODY = 65_534
_NEW_NET, _NEW_IPC, _NEW_USER = 0x40000000, 0x08000000, 0x10000000
_CAPABILITY_VERSION_3 = 0x20080522
_LIBRARY_DIRECTORIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")


def lock(limits: Limits) -> None:
    """Lock this process for ever. Raises IsolationError where the kernel refuses an indispensable layer."""
    _require_seccomp()
    base_bytes = _address_space_bytes()
    with suppress(OSError):  # a read-only /proc: then the kernel's own choice of victim stands
        Path("/proc/self/oom_score_adj").write_text("1000")
    _leave_namespaces()
    _drop_user()
    _drop_capabilities()
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
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
    num_pages = int(Path("/proc/self/statm").read_text().split()[0])
    return num_pages * resource.getpagesize()


def _leave_namespaces() -> None:
    """A network and IPC namespace of its own, where the machine grants one: a second wall behind seccomp."""
    for flags in (_NEW_NET | _NEW_IPC, _NEW_USER | _NEW_NET | _NEW_IPC):
        with suppress(OSError):
            syscall("unshare", flags)
            return


def _drop_user() -> None:
    """From root to nobody, if nobody can read the interpreter; else root stays, but without any capability."""
    if os.geteuid() != 0:
        return
    libraries = library_paths()
    with suppress(OSError):  # a container may grant neither other users nor the right to become one
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, 0)
        user = _NOBODY if all(os.access(path, os.R_OK, effective_ids=True) for path in libraries) else 0
        os.setresuid(user, user, user)


def _drop_capabilities() -> None:
    header = ctypes.create_string_buffer(pack("=Ii", _CAPABILITY_VERSION_3, 0), 8)
    none = ctypes.create_string_buffer(24)
    syscall("capset", ctypes.addressof(header), ctypes.addressof(none))


def library_paths() -> list[Path]:
    """The standard library and the installed packages of this interpreter."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    paths = (Path(sysconfig.get_paths()[name]) for name in names)
    return [path for path in dict.fromkeys(paths) if path.exists()]


def readable_paths() -> list[Path]:
    """All that a call may read: Python's libraries, shared libraries, time zones."""
    shared = [Path(name) for name in (*_LIBRARY_DIRECTORIES, f"{sys.base_prefix}/lib")]
    return [*library_paths(), *shared, Path("/etc/ld.so.cache"), Path("/usr/share/zoneinfo")]


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
        (resource.RLIMIT_FSIZE, limits.output_bytes + 1),
        (resource.RLIMIT_NOFILE, limits.num_files),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        resource.setrlimit(kind, (value, value))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def limit_child(cpu_s: float, parent: int) -> None:
    """What a child adds to the lock: it dies with its zygote, makes no process, and has a CPU limit (seconds)."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the zygote ended before its child began")
    whole_s = math.floor(cpu_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (whole_s, whole_s + 1))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
