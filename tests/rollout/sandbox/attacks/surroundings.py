"""What an abuse could hurt, reach or learn: made by the process that runs the abuses, and looked at after each."""

import os
import resource
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HOUSE = Path(__file__).parents[4]
SECRET = f"secret-{secrets.token_hex(8)}"


@dataclass(frozen=True)
class Surroundings:
    """A file that anyone may write, a process, and sockets that listen."""

    canary: Path
    victim: subprocess.Popen[bytes]
    listeners: tuple[socket.socket, socket.socket, socket.socket]
    """By TCP, as a file, and abstract."""

    def prelude(self) -> str:
        """One line that gives an abuse its targets."""
        port, path, abstract = (listener.getsockname() for listener in self.listeners)
        names = "CANARY, VICTIM, PORT, SOCKET, ABSTRACT, HOUSE"
        return f"{names} = {(str(self.canary), self.victim.pid, port[1], path, abstract, str(HOUSE))!r}\n"

    def harm(self) -> Iterator[str]:
        """What has been hurt or reached."""
        if (ended := self.victim.poll()) is not None:
            yield f"the victim is dead, with {ended}"
        elif _treatment(self.victim.pid) != _treatment(os.getpid()):
            yield f"the victim is treated otherwise: {_treatment(self.victim.pid)}"
        if _state(self.canary) != CALM:
            yield f"the file of the host has changed: {_state(self.canary)}"
        if sorted(path.name for path in self.canary.parent.iterdir()) != ["canary", "socket"]:
            yield f"the directory of the host has changed: {list(self.canary.parent.iterdir())}"
        if Path("/dev/shm/toolpath-attack").exists() or Path("/tmp/toolpath-attack").exists():
            yield "something was written to the shared directories"
        yield from (f"{listener.getsockname()} was reached" for listener in self.listeners if _was_reached(listener))


CALM = (b"alive", 0o100666, 1_000_000_000, 1, [])


def _state(path: Path) -> tuple[bytes, int, float, int, list[str]]:
    found = path.stat()
    return path.read_bytes(), found.st_mode, found.st_mtime, found.st_nlink, os.listxattr(path)


def _treatment(pid: int) -> tuple[object, ...]:
    limits = [resource.prlimit(pid, kind) for kind in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_AS)]
    return os.getpriority(os.PRIO_PROCESS, pid), os.sched_getaffinity(pid), os.sched_getscheduler(pid), limits


def _was_reached(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@contextmanager
def surroundings(directory: Path) -> Iterator[Surroundings]:
    """Make them below this directory, with a secret in the environment."""
    os.environ["API_TOKEN"] = SECRET
    directory.chmod(0o755)  # so that it is the sandbox, and not the owner's rights, that keeps code out
    canary = directory / "canary"
    canary.write_text("alive")
    canary.chmod(0o666)
    os.utime(canary, (1_000_000_000, 1_000_000_000))
    with ExitStack() as stack:
        listeners = (
            stack.enter_context(socket.create_server(("127.0.0.1", 0))),
            stack.enter_context(_local_listener(str(directory / "socket"))),
            stack.enter_context(_local_listener(f"\0toolpath-{os.getpid()}")),
        )
        for listener in listeners:
            listener.setblocking(False)
        victim = stack.enter_context(subprocess.Popen(["sleep", "infinity"]))
        stack.callback(victim.send_signal, signal.SIGKILL)
        yield Surroundings(canary, victim, listeners)


def _local_listener(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    return listener
