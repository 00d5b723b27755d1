"""Verifies, before a sandbox serves anyone, that its isolation holds on this machine."""

from collections.abc import Callable
from pathlib import Path

from rollout.sandbox.outcome import Limits, Outcome, Status
from rollout.sandbox.refusal import IsolationError
from rollout.sandbox.tier import Tier

_SHORT_S = 0.05
_PATIENT_S = 30.0
"""For what must end by itself, whatever the limits give a call: that a machine is busy is no hole in its isolation."""
_MEMORY_SLACK_BYTES = 2**23
"""The interpreter gives back some of what it occupied when its own share was measured."""
_REMEDY = (
    "model-written code would not be contained here, so this tier is not used. It needs a Linux kernel >= 5.13 with "
    "Landlock and seccomp filters, not emulated (gVisor, WSL 1); a VM or another container runtime provides them"
)
_WRITES = "import os\nassert not os.listdir()\nos.posix_fallocate(os.open('left', os.O_RDWR | os.O_CREAT), 0, {})"

Run = Callable[[str, float], Outcome]
"""Source, wall time in seconds → outcome."""


def verify(run: Run, tier: Tier, limits: Limits, num_threads: int) -> None:
    """Try to break out, to run for ever, to use too much memory, to print and to write too much.

    num_threads: as many as a call may start. Raises IsolationError that names what was possible.
    """
    lines = Path(__file__).with_name("probes.py").read_text().splitlines()
    lines[lines.index("MAX_THREADS, MAX_PROCESSES, HAS_BOX = 0, 0, False")] = (
        f"MAX_THREADS, MAX_PROCESSES, HAS_BOX = {num_threads}, {limits.num_processes}, {tier is Tier.BWRAP}"
    )
    _verify_locks(run("\n".join(lines), _PATIENT_S))
    for code, expected in _expectations(tier, limits):
        found = run(code, _SHORT_S if expected is Status.TIMEOUT else _PATIENT_S).status
        if found is not expected:
            raise IsolationError(f"{code!r} should end with {expected!r} and ended with {found!r}: {_REMEDY}")


def _expectations(tier: Tier, limits: Limits) -> list[tuple[str, Status]]:
    box = [(_WRITES.format(1), Status.OK), (_WRITES.format(limits.disk_bytes + 1), Status.ERROR)]
    return [
        ("while True: pass", Status.TIMEOUT),
        (f"memory = bytearray({limits.memory_bytes + _MEMORY_SLACK_BYTES})", Status.MEMORY),
        (f"print('x' * {limits.output_bytes + 1})", Status.OUTPUT_LIMIT),
        *(box if tier is Tier.BWRAP else []),
    ]


def _verify_locks(outcome: Outcome) -> None:
    possible = outcome.stdout.splitlines()
    if possible != ["done"]:
        found = ", ".join(possible) or f"the probes did not end ({outcome.status}): {outcome.stderr}"
        raise IsolationError(f"code in the sandbox could: {found}. {_REMEDY}")
