"""The list of system calls that a call may make, assembled into the kernel's filter language (classic BPF).

Everything not named is answered with EPERM, so that code meets a Python exception. A foreign system-call table
(32-bit calls, x32) ends the process. Layout of the input: `struct seccomp_data` in linux/seccomp.h.
"""

import ctypes
import errno
import os
import socket
from dataclasses import dataclass
from itertools import groupby
from struct import Struct, pack

from rollout.sandbox.linux import Call, Machine, prepared, syscall

_LOAD, _RETURN = 0x20, 0x06
_IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT = 0x15, 0x35, 0x45
_KILL, _ALLOW, _ERRNO, _NOTIFY = 0x80000000, 0x7FFF0000, 0x00050000, 0x7FC00000
_X32_BIT = 0x40000000
_WORD = 0xFFFFFFFF
_SET_MODE_FILTER, _GET_ACTION_AVAILABLE = 1, 2
_INSTRUCTION = Struct("<HBBI")
_NUMBER_OFFSET, _ARCH_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16

_ALLOWED = """
read write readv writev pread64 pwrite64 lseek close close_range dup dup2 dup3 fstat stat lstat newfstatat statx
access faccessat faccessat2 readlink readlinkat getdents64 getcwd mmap munmap mremap mprotect madvise brk
rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait sigaltstack pause alarm
setitimer getitimer restart_syscall nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times
getrusage getpid getppid gettid getuid geteuid getgid getegid getgroups getresuid getresgid getpgrp getpgid getsid
futex sched_yield getcpu sysinfo uname getrandom exit exit_group poll ppoll select pselect6 epoll_create1 epoll_ctl
epoll_wait epoll_pwait eventfd2 pipe recvfrom recvmsg shutdown getsockname getpeername getsockopt
set_robust_list rseq
"""

_ALLOWED_IN_A_BOX = """
unlink unlinkat mkdir mkdirat rmdir rename renameat renameat2 truncate ftruncate fallocate fsync fdatasync chdir chmod
fchmod fchmodat utimensat flock
"""
"""For a call whose only writable file system is its own: all others are mounted read-only in its namespace."""

_ALLOWED_WITH_PROCESSES = """
execve wait4 waitid fork vfork setsid setpgid arch_prctl set_tid_address
"""
"""For a call that lies in a process namespace of its own, and whose processes something else counts."""

_ABSENT = ("clone3", "openat2")
"""Answered with ENOSYS, so that the C library takes the older call, whose arguments a filter can read."""

Code = tuple[bytes, ...]


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, if_true, if_false, value)


RETURN_ALLOW: Code = (_instruction(_RETURN, _ALLOW),)
RETURN_NOTIFY: Code = (_instruction(_RETURN, _NOTIFY),)
"""Ask whoever listens (rollout.sandbox.threads)."""
_RETURN_KILL: Code = (_instruction(_RETURN, _KILL),)


def return_errno(number: int) -> Code:
    """Refuse a system call with this errno."""
    return (_instruction(_RETURN, _ERRNO | number),)


RETURN_DENY = return_errno(errno.EPERM)


@dataclass(frozen=True)
class OneOf:
    """The argument (all 64 bits) is one of these values."""

    argument: int
    values: tuple[int, ...]

    def code(self) -> Code:
        """Fall through if it holds, else deny."""
        low = _ARGUMENTS_OFFSET + 8 * self.argument
        count = len(self.values)
        tests = [_instruction(_IF_EQUAL, value, count - index, 0) for index, value in enumerate(self.values)]
        high_is_zero = (_instruction(_LOAD, low + 4), _instruction(_IF_EQUAL, 0, 0, count + 1))
        return (*high_is_zero, _instruction(_LOAD, low), *tests, *RETURN_DENY)


@dataclass(frozen=True)
class OnlyBits:
    """The argument, a C int, has no bit outside the mask."""

    argument: int
    mask: int

    def code(self) -> Code:
        """Fall through if it holds, else deny."""
        load = _instruction(_LOAD, _ARGUMENTS_OFFSET + 8 * self.argument)
        return (load, _instruction(_IF_ANY_BIT, ~self.mask & _WORD, 0, 1), *RETURN_DENY)


@dataclass(frozen=True)
class Positive:
    """The argument, a C int, is above zero."""

    argument: int

    def code(self) -> Code:
        """Fall through if it holds, else deny."""
        load = _instruction(_LOAD, _ARGUMENTS_OFFSET + 8 * self.argument)
        return (load, _instruction(_IF_EQUAL, 0, 1, 0), _instruction(_IF_ANY_BIT, _SIGN_BIT, 0, 1), *RETURN_DENY)


Condition = OneOf | OnlyBits | Positive

_SIGN_BIT = 1 << 31
_O_LARGEFILE = 0o100000 | 0o400000
"""The bit of x86_64 and that of aarch64; on the other machine each means O_NOFOLLOW, which is allowed too."""
_READ_FLAGS = os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | _O_LARGEFILE
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC: no locks, and no F_SETOWN, which sends signals."""
_LOCK_COMMANDS = (5, 6, 7)
"""F_GETLK, F_SETLK, F_SETLKW."""
_O_TMPFILE = 0o20000000
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_APPEND | _O_TMPFILE
_THREAD_FLAGS = 0x3D0F00
"""Of clone, as the C libraries start a thread: memory, files and signal handlers shared, CLONE_THREAD above all."""
_DETACHED = 0x400000
"""CLONE_DETACHED, which means nothing and which musl sets."""
_FORK_FLAGS = (0x01200011, 0x4111, 0x11)
"""Of clone, as the C libraries fork and spawn: SIGCHLD at the end, memory shared until exec at most."""
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
_STREAM_TYPES = tuple(
    socket.SOCK_STREAM | cloexec | nonblock
    for cloexec in (0, socket.SOCK_CLOEXEC)
    for nonblock in (0, socket.SOCK_NONBLOCK)
)

_RULES: dict[str, tuple[Condition, ...]] = {
    "open": (OnlyBits(1, _READ_FLAGS),),
    "openat": (OnlyBits(2, _READ_FLAGS),),
    # other flags turn a pipe into a queue of kernel events
    "pipe2": (OnlyBits(1, os.O_CLOEXEC | os.O_NONBLOCK),),
    "fcntl": (OneOf(1, _FCNTL_COMMANDS),),
    "ioctl": (OneOf(1, _IOCTLS),),
    # reading one's own limits, never setting any
    "prlimit64": (OneOf(0, (0,)), OneOf(2, (0,))),
    "sched_getaffinity": (OneOf(0, (0,)),),
    # asyncio's wake-up pair; a datagram pair could be pointed at sockets of the host
    "socketpair": (OneOf(0, (socket.AF_UNIX,)), OneOf(1, _STREAM_TYPES)),
    "sendto": (OneOf(4, (0,)),),
}
_RULES_IN_A_BOX: dict[str, tuple[Condition, ...]] = {
    "open": (OnlyBits(1, _READ_FLAGS | _WRITE_FLAGS),),
    "openat": (OnlyBits(2, _READ_FLAGS | _WRITE_FLAGS),),
    "fcntl": (OneOf(1, _FCNTL_COMMANDS + _LOCK_COMMANDS),),
}
_THREADS = (_THREAD_FLAGS, _THREAD_FLAGS | _DETACHED)
_THREAD_RULE: dict[str, tuple[Condition, ...]] = {"clone": (OneOf(0, _THREADS),)}
# a signal to zero or below goes to a group, which the fork server is in
_PROCESS_RULES: dict[str, tuple[Condition, ...]] = {
    "clone": (OneOf(0, _THREADS + _FORK_FLAGS),),
    "kill": (Positive(0),),
}


def policy(machine: Machine, *, box: bool, threads: bool, processes: bool = False) -> dict[int, Code]:
    """System-call number → the code that decides about it; what is missing is denied.

    box: the call has a writable file system of its own. threads, processes: something else counts those of the call.
    """
    allowed = " ".join((_ALLOWED, _ALLOWED_IN_A_BOX * box, _ALLOWED_WITH_PROCESSES * processes))
    rules = _RULES | (_RULES_IN_A_BOX if box else {}) | (_THREAD_RULE if threads else {})
    rules |= _PROCESS_RULES if processes else {}
    verdicts = dict.fromkeys(allowed.split(), RETURN_ALLOW) | {name: return_errno(errno.ENOSYS) for name in _ABSENT}
    for name, conditions in rules.items():
        verdicts[name] = sum((condition.code() for condition in conditions), start=()) + RETURN_ALLOW
    return {machine.numbers[name]: code for name, code in verdicts.items() if name in machine.numbers}


def assemble(machine: Machine, verdicts: dict[int, Code], default: Code = RETURN_DENY) -> bytes:
    """A filter program: check the table, then find the number's code by binary search."""
    runs = groupby(range(max(verdicts) + 2), key=lambda number: verdicts.get(number, default))
    search = _search([(next(numbers), code) for code, numbers in runs])
    load_arch = (_instruction(_LOAD, _ARCH_OFFSET), _instruction(_IF_EQUAL, machine.audit_arch, 1, 0), *_RETURN_KILL)
    load_number = (_instruction(_LOAD, _NUMBER_OFFSET), _instruction(_IF_AT_LEAST, _X32_BIT, 0, 1), *_RETURN_KILL)
    return b"".join((*load_arch, *load_number, *search))


def _search(runs: list[tuple[int, Code]]) -> Code:
    if len(runs) == 1:
        return runs[0][1]
    middle = len(runs) // 2
    below, above = _search(runs[:middle]), _search(runs[middle:])
    return (_instruction(_IF_AT_LEAST, runs[middle][0], len(below), 0), *below, *above)


def require() -> None:
    """Raise OSError where the kernel has no filters that can end a process."""
    action = ctypes.c_uint32(_KILL)
    syscall("seccomp", _GET_ACTION_AVAILABLE, 0, action)


def installation(program: bytes, flags: int = 0) -> Call:
    """Applies a filter for ever to the process that calls; needs no_new_privs. Gives a descriptor where a flag asks for one."""
    lasting = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(pack("HP", len(program) // _INSTRUCTION.size, ctypes.addressof(lasting)))
    call = prepared("seccomp", _SET_MODE_FILTER, flags, header)
    return call._replace(buffers=(*call.buffers, lasting))
