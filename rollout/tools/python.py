"""The Python tool: model-written code in the sandbox."""

from collections.abc import Mapping
from typing import Any

from data_contracts.attempts import CallStatus
from data_contracts.tools import ToolSpec
from rollout.sandbox import Outcome, Sandbox, Status
from rollout.tools.base import ToolResult

_STATUS = {
    Status.OK: CallStatus.OK,
    Status.ERROR: CallStatus.ERROR,
    Status.TIMEOUT: CallStatus.TIMEOUT,
    Status.CPU_LIMIT: CallStatus.TIMEOUT,
}
"""Every other status is a limit of the sandbox: CallStatus.RESOURCE."""

_WORDS = {
    Status.TIMEOUT: "time limit reached",
    Status.CPU_LIMIT: "CPU time limit reached",
    Status.MEMORY: "memory limit reached",
    Status.OUTPUT_LIMIT: "output limit reached",
    Status.SIGNAL: "killed by a signal",
    Status.REJECTED: "code rejected",
}


class PythonTool:
    """Runs the argument `code` in a fresh isolated interpreter; the last expression is echoed as in a notebook."""

    def __init__(self, spec: ToolSpec, sandbox: Sandbox) -> None:
        self.spec, self._sandbox = spec, sandbox

    def call(self, arguments: Mapping[str, Any], seed: int) -> ToolResult:
        """See Tool.call."""
        outcome = self._sandbox.run(str(arguments["code"]), seed=seed)
        return ToolResult(
            status=_STATUS.get(outcome.status, CallStatus.RESOURCE),
            text=_observation(outcome),
            printed=bool(outcome.stdout.strip()),
        )


def _observation(outcome: Outcome) -> str:
    lines = [outcome.stdout.rstrip("\n"), outcome.stderr.strip("\n")]
    if outcome.status in _WORDS:
        lines.append(f"Error: {_WORDS[outcome.status]}")
    if outcome.truncated:
        lines.append("[output cut]")
    return "\n".join(line for line in lines if line)
