"""System calls that Python does not wrap, and the numbers they have on the two supported architectures."""

import ctypes
import os
import platform
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

Buffer = ctypes.Array[ctypes.c_char] | ctypes.c_uint32

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS = 1, 4, 8, 38

_TABLE = """
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, lseek 8 62, close 3 57,
close_range 436 436, dup 32 23, dup2 33 -, dup3 292 24, open 2 -, openat 257 56, openat2 437 437, fcntl 72 25,
ioctl 16 29, fstat 5 80, stat 4 -, lstat 6 -, newfstatat 262 79, statx 332 291, access 21 -, faccessat 269 48,
faccessat2 439 439, readlink 89 -, readlinkat 267 78, getdents64 217 61, getcwd 79 17,
mmap 9 222, munmap 11 215, mremap 25 216, mprotect 10 226, madvise 28 233, brk 12 214,
rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136, rt_sigsuspend 130 133,
rt_sigtimedwait 128 137, sigaltstack 131 132, pause 34 -, alarm 37 -, setitimer 38 103, getitimer 36 102,
restart_syscall 219 128, nanosleep 35 101, clock_nanosleep 230 115, clock_gettime 228 113, clock_getres 229 114,
gettimeofday 96 169, time 201 -, times 100 153, getrusage 98 165, getpid 39 172, getppid 110 173, gettid 186 178,
getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177, getgroups 115 158, getresuid 118 148,
getresgid 120 150, getpgrp 111 -, getpgid 121 155, getsid 124 156, futex 202 98, sched_yield 24 124,
sched_getaffinity 204 123, getcpu 309 168, sysinfo 99 179, uname 63 160, getrandom 318 278, prlimit64 302 261,
exit 60 93, exit_group 231 94, poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, epoll_create1 291 20,
epoll_ctl 233 21, epoll_wait 232 -, epoll_pwait 281 22, eventfd2 290 19, pipe 22 -, pipe2 293 59,
socketpair 53 199, sendto 44 206, recvfrom 45 207, shutdown 48 210, getsockname 51 204, getpeername 52 205,
getsockopt 55 209, clone3 435 435, prctl 157 167, seccomp 317 277, unshare 272 97, capset 126 91,
landlock_create_ruleset 444 444, landlock_add_rule 445 445, landlock_restrict_self 446 446, clone 56 220,
recvmsg 47 212, set_robust_list 273 99, rseq 334 293, mount 165 40, setns 308 268, unlink 87 -, unlinkat 263 35,
mkdir 83 -, mkdirat 258 34, rmdir 84 -, rename 82 -, renameat 264 38, renameat2 316 276, truncate 76 45,
ftruncate 77 46, fallocate 285 47, fsync 74 82, fdatasync 75 83, chdir 80 49, chmod 90 -, fchmod 91 52,
fchmodat 268 53, utimensat 280 88, flock 73 32, execve 59 221, wait4 61 260, waitid 247 95, fork 57 -, vfork 58 -,
setsid 112 157, setpgid 109 154, arch_prctl 158 -, set_tid_address 218 96, kill 62 129
"""


@dataclass(frozen=True)
class Machine:
    """A system-call table."""

    audit_arch: int
    """The kernel's name of the table (AUDIT_ARCH_*), which a filter compares."""
    numbers: dict[str, int]


def _column(index: int) -> dict[str, int]:
    rows = [entry.split() for entry in _TABLE.split(",")]
    return {row[0]: int(row[index]) for row in rows if row[index] != "-"}


MACHINES = {"x86_64": Machine(0xC000003E, _column(1)), "aarch64": Machine(0xC00000B7, _column(2))}


@cache
def machine() -> Machine:
    """The table of this machine."""
    return MACHINES[platform.machine()]


_NUM_WORDS = 7
_LIBC = ctypes.PyDLL(None, use_errno=True)
"""Called with the interpreter's lock held: nothing here waits."""
_SYSCALL = _LIBC.syscall
_SYSCALL.restype = ctypes.c_long
_SYSCALL.argtypes = [ctypes.c_long] * _NUM_WORDS
_FORK = _LIBC.fork


class Call(NamedTuple):
    """A system call, made ready before a fork: a child that makes it touches little memory."""

    name: str
    words: tuple[int, ...]
    buffers: tuple[Buffer, ...]
    """What the words point to."""

    def make(self) -> int:
        """Raises the OSError of its errno."""
        result = int(_SYSCALL(*self.words))
        if result < 0:
            raise OSError(ctypes.get_errno(), f"{self.name}: {os.strerror(ctypes.get_errno())}")
        return result


def prepared(name: str, *arguments: int | Buffer) -> Call:
    """A system call on numbers and on the addresses of buffers."""
    numbers = [given if isinstance(given, int) else ctypes.addressof(given) for given in arguments]
    words = (machine().numbers[name], *numbers, *[0] * (_NUM_WORDS - 1 - len(numbers)))
    return Call(name, words, tuple(given for given in arguments if not isinstance(given, int)))


def syscall(name: str, *arguments: int | Buffer) -> int:
    """Make a system call at once."""
    return prepared(name, *arguments).make()


def fork() -> int:
    """Like os.fork, for a process without threads.

    The interpreter's own work after a fork is for the locks of other threads; it would touch 250 pages of the child.
    """
    pid = int(_FORK())
    if pid < 0:
        raise OSError(ctypes.get_errno(), f"fork: {os.strerror(ctypes.get_errno())}")
    return pid


def prctl(option: int, value: int) -> Call:
    """Sets a property of a process."""
    return prepared("prctl", option, value)
