"""The command line that shows a zygote Python's libraries and nothing else of the machine."""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from rollout.sandbox.places import BOX, PACKAGE, readable_paths
from rollout.sandbox.refusal import IsolationError

_DEVICES = ("null", "zero", "full", "random", "urandom")
_SYSTEM = ("/etc/alternatives", "/etc/ld.so.cache")
_CAP_SYS_ADMIN = 21
_INSTALL = "install it (Debian, Ubuntu: `apt install bubblewrap`; Fedora: `dnf install bubblewrap`)"
REMEDY = (
    "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces > 0; on Ubuntu "
    "an AppArmor profile for bwrap with `userns,`; for a container --security-opt seccomp=... with a profile that allows "
    "unshare and mount)"
)
"""For a machine on which it is installed and refused."""


def wrapped(command: list[str]) -> list[str]:
    """The command inside bubblewrap. Raises IsolationError where bubblewrap is not installed."""
    bubblewrap = shutil.which("bwrap")
    if bubblewrap is None:
        raise IsolationError(f"bubblewrap is not installed: {_INSTALL}")
    return [bubblewrap, *_namespaces(), *_files(), *_capabilities(), "--", *command]


def _namespaces() -> list[str]:
    user = [] if _is_admin() else ["--unshare-user"]
    return [*user, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]


def _is_admin() -> bool:
    """Whether this process can make namespaces without becoming another user first."""
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff"))
    return bool(int(effective.split()[1], 16) >> _CAP_SYS_ADMIN & 1)


def _files() -> list[str]:
    config = Path(sys.prefix, "pyvenv.cfg")
    shown = {
        path: path for path in (*_outermost(readable_paths()), PACKAGE, config, *map(Path, _SYSTEM)) if path.exists()
    }
    shown[Path(sys.executable)] = Path(sys.executable).resolve()
    arguments = [
        item for parent in _parents([*shown, Path("/dev/null")]) for item in ("--perms", "0755", "--dir", str(parent))
    ]
    for place, origin in shown.items():
        arguments += ["--ro-bind", str(origin), str(place)]
    for name in _DEVICES:
        arguments += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    return [*arguments, "--dir", BOX, "--remount-ro", "/", "--chdir", "/"]


def _parents(paths: Iterable[Path]) -> list[Path]:
    """Made by us, since bubblewrap would let only their owner pass; the root is there."""
    return sorted({parent for path in paths for parent in path.parents} - {Path("/")})


def _outermost(paths: list[Path]) -> list[Path]:
    return [path for path in dict.fromkeys(paths) if not any(path != p and path.is_relative_to(p) for p in paths)]


def _capabilities() -> list[str]:
    """What the zygote needs to give each call namespaces and a file system of its own, and to become another user."""
    return ["--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
