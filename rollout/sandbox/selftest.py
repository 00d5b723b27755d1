"""Verifies, before a sandbox serves anyone, that its isolation holds on this machine."""

from collections.abc import Callable
from pathlib import Path

from rollout.sandbox.outcome import Limits, Outcome, Status
from rollout.sandbox.refusal import IsolationError

_SHORT_S = 0.05
_REMEDY = (
    "model-written code would not be contained here, so the sandbox refuses to start. It needs a Linux kernel >= 5.13 "
    "with Landlock and seccomp filters, not emulated (gVisor, WSL 1); a VM or another container runtime provides them"
)

Run = Callable[[str, int, float], Outcome]
"""Source, seed, wall time in seconds → outcome."""


def verify(run: Run, limits: Limits) -> None:
    """Try to break out, to run for ever, to use too much memory and to print too much.

    Raises IsolationError that names what was possible.
    """
    _verify_locks(run(Path(__file__).with_name("probes.py").read_text(), 0, limits.wall_s + _SHORT_S))
    for code, expected in (
        ("while True: pass", Status.TIMEOUT),
        (f"memory = bytearray({limits.memory_bytes})", Status.MEMORY),
        (f"print('x' * {limits.output_bytes + 1})", Status.OUTPUT_LIMIT),
    ):
        found = run(code, 0, _SHORT_S if expected is Status.TIMEOUT else limits.wall_s).status
        if found is not expected:
            raise IsolationError(f"{code!r} should end with {expected!r} and ended with {found!r}: {_REMEDY}")


def _verify_locks(outcome: Outcome) -> None:
    possible = outcome.stdout.splitlines()
    if possible != ["done"]:
        found = ", ".join(possible) or f"the probes did not end ({outcome.status}): {outcome.stderr}"
        raise IsolationError(f"code in the sandbox could: {found}. {_REMEDY}")
