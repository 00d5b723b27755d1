"""The host's side of one zygote."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from rollout.errors import InfrastructureError
from rollout.sandbox.outcome import Limits, Outcome, Status
from rollout.sandbox.refusal import IsolationError
from rollout.sandbox.wire import EXIT_MEMORY, EXIT_OK, MAX_MESSAGE_BYTES, READY, Reply, Request

_START_S = 120.0
_GRACE_S = 30.0
"""Beyond the deadline, which the zygote keeps: only a zygote that hangs takes longer."""
_STOP_S = 5.0
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "HOME": "/",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""All that the zygote gets of an environment; no secret of the host is among it."""


class Worker:
    """Serves one call at a time; its zygote is started by the first call and replaced when lost."""

    def __init__(self, limits: Limits, preload: Sequence[str]) -> None:
        self._limits = limits
        self._preload = preload
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def call(self, source: bytes, *, seed: int, wall_s: float) -> Outcome:
        """Run the source. Raises InfrastructureError if the zygote is lost, and has then stopped it."""
        answered = False
        try:
            outcome = self._exchange(source, seed, wall_s)
            answered = True
            return outcome
        except OSError as error:
            raise InfrastructureError(f"the sandbox lost its zygote: {error}") from error
        finally:
            if not answered:  # also at an interrupt: the next call must not read this one's reply
                self.stop()

    def _exchange(self, source: bytes, seed: int, wall_s: float) -> Outcome:
        control = self._control or self._start()
        control.settimeout(wall_s + _GRACE_S)
        with ExitStack() as files:
            code, stdout, stderr = (files.enter_context(_memory_file()) for _ in range(3))
            os.write(code, source)
            socket.send_fds(control, [Request(seed, wall_s).pack()], [code, stdout, stderr])
            message = control.recv(MAX_MESSAGE_BYTES)
            if not message:
                raise InfrastructureError("the sandbox lost its zygote: it ended during a call")
            return self._outcome(Reply.unpack(message), self._read(stdout), self._read(stderr))

    def _read(self, descriptor: int) -> bytes:
        return os.pread(descriptor, self._limits.output_bytes + 1, 0)

    def _outcome(self, reply: Reply, stdout: bytes, stderr: bytes) -> Outcome:
        size = self._limits.output_bytes
        truncated = max(len(stdout), len(stderr)) > size
        status = Status.OUTPUT_LIMIT if truncated else _status(reply, self._limits.cpu_s)
        return Outcome(status, _text(stdout[:size]), _text(stderr[:size]), truncated)

    def _start(self) -> socket.socket:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = here
        settings = json.dumps({"limits": asdict(self._limits), "preload": list(self._preload)})
        command = [sys.executable, "-s", "-P", "-m", "rollout.sandbox.zygote", str(there.fileno()), settings]
        with there, _memory_file() as errors:
            self._zygote = subprocess.Popen(
                command,
                pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,  # an interrupt at the terminal is for the host alone
            )
            there.close()
            here.settimeout(_START_S)
            self._greet(here, errors)
        return here

    def _greet(self, control: socket.socket, errors: int) -> None:
        greeting = control.recv(MAX_MESSAGE_BYTES)
        if not greeting:
            complaint = os.pread(errors, MAX_MESSAGE_BYTES, 0).decode(errors="replace")
            raise InfrastructureError(f"the sandbox could not start its zygote:\n{complaint}")
        if greeting != READY:
            raise IsolationError(greeting.decode())

    def stop(self) -> None:
        """End the zygote and what runs in it; the next call starts a new one."""
        if self._control:
            with suppress(OSError):  # it may be gone already
                self._control.shutdown(socket.SHUT_RDWR)  # reaches it even if a fork of the host holds the socket too
            self._control.close()
        if self._zygote:
            _end(self._zygote)
        self._control = self._zygote = None


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_S)  # it ends by itself when the socket closes, and takes its child along
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _status(reply: Reply, max_cpu_s: float) -> Status:
    exit_code = reply.exit_code
    if reply.timed_out:
        return Status.TIMEOUT
    if exit_code == -signal.SIGXCPU or (exit_code == -signal.SIGKILL and reply.cpu_s >= max_cpu_s):
        return Status.CPU_LIMIT
    # code cannot send itself SIGKILL; short of an operator it is the kernel that found no memory
    if exit_code in (EXIT_MEMORY, -signal.SIGKILL):
        return Status.MEMORY
    if exit_code < 0:
        return Status.SIGNAL
    return Status.OK if exit_code == EXIT_OK else Status.ERROR


def _text(output: bytes) -> str:
    return output.decode(errors="replace")


@contextmanager
def _memory_file() -> Iterator[int]:
    descriptor = os.memfd_create("sandbox")
    try:
        yield descriptor
    finally:
        os.close(descriptor)
