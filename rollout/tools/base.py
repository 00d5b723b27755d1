"""The protocol of a tool."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from data_contracts.attempts import CallStatus
from data_contracts.tools import ToolSpec


@dataclass(frozen=True)
class ToolResult:
    """What a call gave."""

    status: CallStatus
    """OK, or one of the tool's own failures."""
    text: str
    """The observation, not yet cut to the task's budget."""
    printed: bool
    """Whether the tool itself gave any output."""


class Tool(Protocol):
    """Something that a model may call. Concurrent calls are allowed."""

    @property
    def spec(self) -> ToolSpec:
        """Name, description and parameters, as the model reads them."""
        ...

    def call(self, arguments: Mapping[str, Any], seed: int) -> ToolResult:
        """Run the tool on validated arguments. `seed` makes its randomness reproducible.

        Raises rollout.errors.InfrastructureError when the tool's server or sandbox broke.
        """
        ...
