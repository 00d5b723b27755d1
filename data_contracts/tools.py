"""The description of a tool that a model may call."""

import json
from typing import Any

from pydantic import field_validator

from data_contracts.record import Record


class ToolSpec(Record):
    """Name, description and parameters of a tool.

    Example:
        ToolSpec(name="python", description="Run Python.", parameters='{"properties":{"code":{"type":"string"}},"type":"object"}')
    """

    name: str
    description: str
    parameters: str
    """The JSON Schema of the arguments, as JSON text. The order of keys is kept: it is what the model reads."""

    @field_validator("parameters")
    @classmethod
    def _is_object_schema(cls, text: str) -> str:
        if not isinstance(json.loads(text), dict):
            raise ValueError(f"parameters must be the JSON text of an object schema, got {text[:80]!r}")
        return text

    def to_openai(self) -> dict[str, Any]:
        """The form that OpenAI-compatible servers and chat templates take."""
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": json.loads(self.parameters)},
        }
