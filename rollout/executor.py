"""What runs model-written code: the sandbox of this machine, or a server of sandboxes elsewhere."""

import os
import sys
from types import TracebackType
from typing import Protocol, Self

from pydantic import BaseModel, ConfigDict

from rollout.sandbox import DEFAULT_PRELOAD, SCIENCE_PRELOAD, Limits, Outcome, Sandbox, Session, Tier

URL_ENV = "TOOLPATH_SANDBOX_URL"
"""Environment variable with the address of a sandbox server. Where it is not set, calls run on this machine."""


class SandboxTable(BaseModel):
    """The recipe table [sandbox]: what runs model-written Python."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tier: Tier | None = None
    """None: the strongest that works on the machine (`python -m rollout sandbox` shows which)."""
    science: bool = False
    """numpy, sympy and scipy are ready in every call, for a second and some 130 MB once a worker. Needs scipy."""
    limits: Limits = Limits()
    """Of each call; a server keeps to its own where they are stricter."""


class Executor(Protocol):
    """Runs calls for many callers at once. Use it in a with block."""

    def run(self, code: str, *, seed: int = 0, stdin: str = "") -> Outcome:
        """See Sandbox.run."""
        ...

    def session(self, seed: int = 0) -> Session:
        """See Sandbox.session. Raises ValueError where there are none."""
        ...

    def close(self) -> None:
        """Let go of all that it holds."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_executor(table: SandboxTable | None = None) -> Executor:
    """The one that this process is to use; a server chooses its own preload and tier.

    Raises IsolationError where the machine, and ValueError where the server, cannot be used so.
    """
    url, table = os.environ.get(URL_ENV), table or SandboxTable()
    if not url:
        preload = SCIENCE_PRELOAD if table.science else DEFAULT_PRELOAD
        sandbox = Sandbox(table.limits, preload=preload, tier=table.tier)
        _tell(f"tier {sandbox.tier.value}")
        return sandbox
    if table.tier is not None:
        raise ValueError(
            f"the recipe asks for tier {table.tier.value!r}, but calls run on {url}: unset {URL_ENV}, or the tier"
        )
    from rollout.remote.client import RemoteSandbox

    _tell(f"server {url}")
    return RemoteSandbox(url, table.limits)


def _tell(where: str) -> None:
    """Say in the run's log what contains model-written code."""
    print(f"sandbox: {where}", file=sys.stderr, flush=True)
