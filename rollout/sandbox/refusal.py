"""Why a sandbox does not start. Imports on any system, so that the reason can be said there."""

from rollout.sandbox.linux import MACHINES


class IsolationError(RuntimeError):
    """This machine cannot isolate model-written code; the message says what is missing and what to do."""


def require_linux(system: str, machine: str) -> None:
    """Refuse any system but Linux on x86_64 or aarch64."""
    if system != "linux" or machine not in MACHINES:
        known = " or ".join(MACHINES)
        raise IsolationError(
            f"the sandbox needs Linux on {known}, this is {system} on {machine}: use a Linux machine, VM or container"
        )
