"""Landlock: the kernel's own limit on which files a process may open (docs.kernel.org/userspace-api/landlock.html)."""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from struct import pack

from rollout.sandbox.linux import syscall

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_NUM_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_NUM_FILE_RIGHTS_NOW = 16
_ABI_NET, _ABI_SCOPE = 4, 6
_NET_BIND_AND_CONNECT, _SCOPE_SOCKETS_AND_SIGNALS = 3, 3
_ASK_VERSION = 1
_RULE_PATH = 1


def abi() -> int:
    """Version of the kernel's Landlock. Raises OSError where there is none."""
    return syscall("landlock_create_ruleset", 0, 0, _ASK_VERSION)


def read_only(paths: Iterable[Path]) -> None:
    """Let this process and its children read below these paths (those that exist) and touch no other file."""
    ruleset = _ruleset(abi())
    for path in paths:
        if path.exists():
            _allow_reading(ruleset, path)
    syscall("landlock_restrict_self", ruleset, 0)
    os.close(ruleset)


def _ruleset(version: int) -> int:
    files = (1 << _NUM_FILE_RIGHTS.get(version, _NUM_FILE_RIGHTS_NOW)) - 1
    net = _NET_BIND_AND_CONNECT if version >= _ABI_NET else 0
    scope = _SCOPE_SOCKETS_AND_SIGNALS if version >= _ABI_SCOPE else 0
    attributes = ctypes.create_string_buffer(pack("=QQQ", files, net, scope), 24)
    return syscall("landlock_create_ruleset", attributes, 24, 0)


def _allow_reading(ruleset: int, path: Path) -> None:
    rights = _READ_FILE | _READ_DIR if path.is_dir() else _READ_FILE
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = ctypes.create_string_buffer(pack("=Qi", rights, descriptor), 12)
    syscall("landlock_add_rule", ruleset, _RULE_PATH, rule, 0)
    os.close(descriptor)
