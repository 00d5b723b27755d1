"""An attempt as the agent saw it, for readers that render messages with a chat template of their own."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from data_contracts.attempts import Attempt
from data_contracts.messages import Message, ToolCall
from data_contracts.tools import ToolSpec
from rollout.rendering.family import visible


@dataclass(frozen=True)
class Conversation:
    """One attempt's messages, without what only a simulated user saw, and the tools that were declared."""

    attempt: Attempt
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]

    @property
    def provenance(self) -> dict[str, str]:
        """The values of PROVENANCE."""
        a = self.attempt
        return dict(zip(PROVENANCE, (a.key, a.task_key, a.policy.id, a.source, a.licence), strict=True))


PROVENANCE = ("key", "task_key", "policy", "source", "licence")
"""Columns that say where a row comes from."""


def conversations(
    attempts: Iterable[Attempt], tools: Mapping[str, Sequence[ToolSpec]]
) -> tuple[list[Conversation], dict[str, str]]:
    """Attempts in the order of their keys, and why the others are left out. tools: by task key.

    A template writes a call from its name and an object of arguments: what else a model wrote, no template can repeat.
    """
    found, left_out = [], dict[str, str]()
    for attempt in sorted(attempts, key=lambda attempt: attempt.key):
        shown = tuple(visible(attempt.messages))
        broken = [call.id for message in shown for call in message.tool_calls if arguments_of(call) is None]
        if broken:
            left_out[attempt.key] = f"{', '.join(broken)}: no tool's name, or arguments that are no JSON object"
        else:
            found.append(Conversation(attempt, shown, tuple(tools.get(attempt.task_key, ()))))
    return found, left_out


def arguments_of(call: ToolCall) -> dict[str, Any] | None:
    """The arguments of a call; None for a call without a name, and for arguments that are no JSON object."""
    try:
        arguments = json.loads(call.arguments, parse_constant=_refuse)
    except ValueError:
        return None
    return arguments if call.name and isinstance(arguments, dict) else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
