"""A pool of workers that runs model-written Python for many callers at once."""

import math
import os
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from types import TracebackType

from rollout.errors import InfrastructureError
from rollout.sandbox.desk import Desk
from rollout.sandbox.exchange import KilledError
from rollout.sandbox.line import Line
from rollout.sandbox.outcome import Limits, Outcome, Status
from rollout.sandbox.places import BOX
from rollout.sandbox.refusal import IsolationError, require_linux
from rollout.sandbox.selftest import verify
from rollout.sandbox.session import Session
from rollout.sandbox.shelf import Shelf
from rollout.sandbox.tier import NOT_ISOLATED, Tier
from rollout.sandbox.want import num_oom_kills
from rollout.sandbox.worker import Worker

DEFAULT_PRELOAD = (
    *("bisect", "calendar", "cmath", "collections", "copy", "datetime", "decimal", "fractions", "functools", "heapq"),
    *("itertools", "json", "math", "operator", "random", "re", "statistics", "string", "textwrap", "typing"),
)
"""Modules that a call finds loaded; any other installed one is imported by the call itself."""

SCIENCE_PRELOAD = (
    *DEFAULT_PRELOAD,
    *("numpy", "numpy.random", "mpmath", "sympy"),
    *("scipy.optimize", "scipy.integrate", "scipy.linalg", "scipy.special", "scipy.stats"),
)
"""For mathematics: costs a second and about 80 MB once a worker, and as much again when code first names scipy or a session
begins. Needs scipy (`pip install toolpath[science]`)."""

DEFAULT_LIMITS = Limits()

_NUM_TRIES = 3
_NUM_SEEDS = 2**64
_CLOSED = "the sandbox is closed: make a new one"


class Sandbox:
    """Runs each call in a process of its own that sees no network, no file of the host and no other call.

    Safe for threads, and for hosts that use threads or torch: the host itself never forks. A process that the host
    forks must make a sandbox of its own.
    """

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        num_workers: int | None = None,
        preload: Sequence[str] = DEFAULT_PRELOAD,
        *,
        tier: Tier | None = None,
        max_sessions: int = 64,
    ) -> None:
        """Start one zygote and verify its isolation; further ones start when calls overlap, or as rollout.sandbox.desk says.

        num_workers: calls that run at once, by default one a usable CPU; further calls wait, outside their deadline.
        tier: by default the strongest that works here.
        max_sessions: with a process behind them; the one that was not used for longest makes room.
        Raises IsolationError where the isolation is incomplete: there is no mode without it.
        """
        require_linux(sys.platform, platform.machine())
        _require_installed(preload)
        self._limits, self._preload = limits, preload
        self._num_workers = num_workers or len(os.sched_getaffinity(0))
        self._owner = os.getpid()
        self._places = Shelf(max_sessions)
        self._closed = False
        self.tier, first = self._verified(list(Tier) if tier is None else [tier])
        self.counts_threads = first.light.counts_threads
        """Whether calls may start threads, up to the limit."""
        others = [Desk(limits, preload, self.tier) for _ in range(self._num_workers - 1)]
        self._idle: Line[Desk | None] = Line([*others, first])

    def _verified(self, tiers: Sequence[Tier]) -> tuple[Tier, Desk]:
        """The first tier that can be shown to hold, and a desk of it."""
        failures: list[IsolationError | InfrastructureError] = []
        for tier in tiers:
            desk = Desk(self._limits, self._preload, tier)
            verified = False
            try:
                self._verify(desk)
                verified = True
                return tier, desk
            except (IsolationError, InfrastructureError) as error:
                failures.append(error)
            finally:
                if not verified:
                    desk.stop()
        words = (f"{tier.value}: {failure}" for tier, failure in zip(tiers, failures, strict=True))
        raise type(failures[-1])("no isolation of model-written code works here\n" + "\n".join(words)) from failures[-1]

    def _verify(self, desk: Desk) -> None:
        worker = desk.light

        def run(code: str, wall_s: float) -> Outcome:
            return _tried(lambda: worker.call(code.encode(), b"", seed=0, wall_s=wall_s))

        run("", self._limits.wall_s)  # starts the zygote, which then knows what it counts
        verify(run, worker.tier, self._limits, self._limits.num_threads if worker.counts_threads else 0)

    def run(self, code: str, *, seed: int = 0, stdin: str = "", wall_s: float = math.inf) -> Outcome:
        """Run code as a notebook cell: its prints, and the value of a last expression, are its stdout.

        `random` and `numpy.random` start from the seed, taken modulo 2**64; hashes of strings are fixed.
        wall_s: for a call that is to have less time than the limits give.
        Raises InfrastructureError when the machinery failed three times; a failure of the code is an Outcome.
        """
        given, number, wall_s = stdin.encode(errors="replace"), seed % _NUM_SEEDS, min(wall_s, self._limits.wall_s)
        return self._at_desk(
            code, lambda desk: desk.worker(code).call(code.encode(), given, seed=number, wall_s=wall_s)
        )

    def session(self, seed: int = 0) -> Session:
        """A notebook of its own, in which variables live from cell to cell; close it, or use it in a with block."""
        if self._limits.num_processes:
            raise ValueError(
                f"num_processes={self._limits.num_processes}: processes of a session would run on between its cells; set it "
                "to 0 for sessions"
            )
        return Session(seed % _NUM_SEEDS, self._limits, self._with_full_worker, self._places)

    def describe(self) -> str:
        """The tier in words for users: what a call has, and what it is not kept from."""
        threads = (
            f"up to {self._limits.num_threads} threads" if self.counts_threads else "no threads (not countable here)"
        )
        disk = (
            f"{self._limits.disk_bytes >> 20} MiB to write in {BOX}" if self.tier is Tier.BWRAP else "no file to write"
        )
        left_open = "\n".join(f"    - {words}" for words in NOT_ISOLATED[self.tier])
        processes = (
            f"up to {self._limits.num_processes} processes to start" if self._limits.num_processes else "no processes"
        )
        return f"{self.tier}: works here\n  a call has: {threads}; {processes}; {disk}; no network\n  not isolated:\n{left_open}"

    def _with_full_worker(self, code: str, task: Callable[[Worker], Outcome]) -> Outcome:
        return self._at_desk(code, lambda desk: task(desk.full))

    def _at_desk(self, code: str, task: Callable[[Desk], Outcome]) -> Outcome:
        if self._closed:
            raise ValueError(_CLOSED)
        if words := rejection(code, self._limits):
            return Outcome(Status.REJECTED, "", words, truncated=False)
        if os.getpid() != self._owner:
            raise ValueError(f"this sandbox belongs to process {self._owner}: make one in each process that uses it")
        desk = self._idle.take()
        try:
            if desk is None:
                raise ValueError(_CLOSED)
            taken = desk
            return _tried(lambda: task(taken))
        finally:
            self._idle.give(desk)

    def close(self) -> None:
        """Let running calls end (they have a deadline), then end every process of the sandbox."""
        if self._closed:
            return
        self._closed = True
        desks = [self._idle.take() for _ in range(self._num_workers)]
        self._places.clear()
        for desk in desks:
            if desk:
                desk.stop()
        self._idle.give(None)

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _tried(task: Callable[[], Outcome]) -> Outcome:
    """The outcome of the first try that the infrastructure lives through.

    A call that is killed is run again too; if the kernel was ending processes for want of memory, the call is why.
    """
    oom_kills = None
    for _ in range(_NUM_TRIES - 1):
        try:
            return task()
        except KilledError:
            oom_kills = num_oom_kills() if oom_kills is None else oom_kills
        except InfrastructureError:
            continue
    try:
        return task()
    except KilledError:
        if oom_kills is None or num_oom_kills() == oom_kills:
            raise
        return Outcome(Status.MEMORY, "", "", truncated=False)


def rejection(code: str, limits: Limits) -> str | None:
    """Why the source is not even tried; None where it is."""
    try:
        source = code.encode()
    except UnicodeEncodeError as error:
        return f"the source is no valid Unicode: {error.reason}"
    if b"\0" in source:
        return "the source holds a NUL character"
    if len(source) > limits.source_bytes:
        return f"the source has {len(source)} bytes; at most {limits.source_bytes} are run"
    return None


def _require_installed(preload: Sequence[str]) -> None:
    for name in preload:
        if find_spec(name.partition(".")[0]) is None:
            raise ValueError(f"cannot preload {name!r}: it is not installed here; install it or leave it out")
