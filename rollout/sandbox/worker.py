"""The host's side of one zygote."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from rollout.errors import InfrastructureError
from rollout.sandbox import bubblewrap
from rollout.sandbox.exchange import KilledError, exchange
from rollout.sandbox.outcome import Limits, Outcome
from rollout.sandbox.places import BOX
from rollout.sandbox.refusal import IsolationError
from rollout.sandbox.tier import Tier
from rollout.sandbox.waiting import wait_for
from rollout.sandbox.wire import MAX_MESSAGE_BYTES, READY, Kind, Request, send

_START_S = 120.0
_STOP_S = 5.0
_MAX_CALLS = 10_000
"""After so many a zygote is replaced: all its children share one layout of memory, which an attack might find out."""
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "HOME": "/",
    "MALLOC_ARENA_MAX": "2",
    # else each child resolves what it calls
    "LD_BIND_NOW": "1",
    # the one allocator that rollout.sandbox.heap can arrange
    "PYTHONMALLOC": "malloc",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""All that the zygote gets of an environment; no secret of the host is among it."""
_IN_A_BOX = {"HOME": BOX, "TMPDIR": BOX}
_FIRST_USER, _NUM_USERS = 61_184, 4_336
"""Numbers that no account has (systemd gives them to services for a while): one a zygote, where the host is root."""
# among what memory is wanted from, a call comes first; then what was asked for
_KILLED_FIRST = ["/bin/sh", "-c", 'echo 1000 2>/dev/null > /proc/self/oom_score_adj; exec "$@"', "sh"]
_users = itertools.count(os.getpid())


class Worker:
    """Serves one call at a time; its zygote is started by the first call and replaced when lost."""

    def __init__(self, limits: Limits, preload: Sequence[str], tier: Tier) -> None:
        self._limits, self._preload, self.tier = limits, preload, tier
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._errors: int | None = None
        self._num_calls = 0
        self.num_sessions = 0
        """Open ones: while there are any, the zygote is kept."""
        self.counts_threads = False

    def call(self, source: bytes, stdin: bytes, *, seed: int, wall_s: float) -> Outcome:
        """Run the source. Raises InfrastructureError if the zygote is lost, and has then stopped it."""
        answered = False
        try:
            control = self._connected()
            self._num_calls += 1
            outcome = exchange(control, Request(Kind.CALL, seed, wall_s), source, stdin, self._limits)
            answered = True
            return outcome
        except KilledError:
            answered = True
            raise
        except (OSError, InfrastructureError) as error:
            raise InfrastructureError(f"the sandbox lost its zygote: {error}{self._complaint()}") from error
        finally:
            if not answered:  # also at an interrupt: the next call must not read this one's reply
                self.stop()

    def open_session(self) -> socket.socket:
        """A socket on which a session answers cells. Raises InfrastructureError if the zygote is lost."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with there:
                control = self._connected()
                send(control, Request(Kind.SESSION, 0, 0).pack(), [there.fileno()])
            here.settimeout(_START_S)
            if here.recv(MAX_MESSAGE_BYTES) != READY:  # a zygote that is being killed still takes what is sent
                raise ConnectionResetError("it ended before the session began")
            here.settimeout(None)
        except OSError as error:
            here.close()
            self.stop()
            raise InfrastructureError(f"the sandbox lost its zygote: {error}") from error
        return here

    def _connected(self) -> socket.socket:
        """To a zygote that lives and has not served too long: it never speaks first, so what can be read is its end."""
        is_old = self._num_calls >= _MAX_CALLS and not self.num_sessions
        if self._control and (is_old or wait_for([self._control.fileno()], 0)):
            self.stop()
        return self._control or self._start()

    def _start(self) -> socket.socket:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = here
        self._num_calls = 0
        host = os.pidfd_open(os.getpid())
        try:
            with there:
                self._errors = os.memfd_create("errors")
                self._zygote = subprocess.Popen(
                    self._command(there.fileno(), host),
                    pass_fds=[there.fileno(), host],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._errors,
                    env=_ENVIRONMENT | (_IN_A_BOX if self.tier is Tier.BWRAP else {}),
                    cwd="/",
                    start_new_session=True,  # an interrupt at the terminal is for the host alone
                )
                there.close()
                here.settimeout(_START_S)
                self._greet(here)
                here.settimeout(None)
        finally:
            os.close(host)
        return here

    def _command(self, control: int, host: int) -> list[str]:
        user = _FIRST_USER + next(_users) % _NUM_USERS
        settings = {"limits": asdict(self._limits), "tier": self.tier, "preload": list(self._preload), "user": user}
        python = [sys.executable, "-s", "-P", "-m", "rollout.sandbox.zygote"]
        zygote = [*python, str(control), str(host), json.dumps(settings)]
        return [*_KILLED_FIRST, *(zygote if self.tier is Tier.LANDLOCK else bubblewrap.wrapped(zygote))]

    def _greet(self, control: socket.socket) -> None:
        greeting = control.recv(MAX_MESSAGE_BYTES)
        if not greeting:
            complaint = self._complaint()
            if complaint.startswith("bwrap:"):
                raise IsolationError(f"bubblewrap does not work here ({complaint.strip()}): {bubblewrap.REMEDY}")
            raise InfrastructureError("it could not start")
        if not greeting.startswith(READY):
            raise IsolationError(greeting.decode())
        self.counts_threads = bool(json.loads(greeting.removeprefix(READY))["counts_threads"])

    def _complaint(self) -> str:
        """What the zygote wrote to its stderr; code never can."""
        if self._errors is None:
            return ""
        return os.pread(self._errors, MAX_MESSAGE_BYTES, 0).decode(errors="replace")

    def stop(self) -> None:
        """End the zygote and what runs in it; the next call starts a new one."""
        if self._control:
            with suppress(OSError):  # it may be gone already
                self._control.shutdown(socket.SHUT_RDWR)  # reaches it even if a fork of the host holds the socket too
            self._control.close()
        if self._zygote:
            _end(self._zygote)
        if self._errors is not None:
            os.close(self._errors)
        self._control = self._zygote = self._errors = None


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_S)  # it ends by itself when the socket closes, and takes its child along
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # bubblewrap alone would leave what hangs in it
        process.wait()
