"""The protocol of a tool."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import jsonschema

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


@lru_cache(maxsize=256)
def _validator(parameters: str) -> Any:
    schema = json.loads(parameters)
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def check_arguments(spec: ToolSpec, arguments: Mapping[str, Any]) -> str:
    """What is wrong with the arguments, in words that let a model repair its call; empty when nothing is."""
    errors = sorted(_validator(spec.parameters).iter_errors(dict(arguments)), key=lambda e: [str(p) for p in e.path])
    if not errors:
        return ""
    where = "/".join(str(part) for part in errors[0].path)
    return f"{where}: {errors[0].message}" if where else str(errors[0].message)
