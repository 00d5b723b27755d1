"""Engines: what turns a conversation into the next assistant message.

Two kinds share one protocol. A token engine reads `prompt_ids_T` and returns ids with log-probabilities. A text engine
(a scripted teacher, a chat server) reads `messages` and `tools` and returns text only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from data_contracts.messages import Message
from data_contracts.tools import ToolSpec
from rollout.errors import InfrastructureError


class Finish(StrEnum):
    """Why an engine stopped writing."""

    END = "end"
    """An end-of-turn token."""
    LENGTH = "length"
    """max_tokens."""


@dataclass(frozen=True)
class Request:
    """What an engine is asked: continue this conversation by one assistant message."""

    prompt_ids_T: tuple[int, ...]
    """The exact tokens so far; empty for text engines."""
    messages: tuple[Message, ...]
    """The conversation so far, as a reader sees it. Never the reference answer."""
    tools: tuple[ToolSpec, ...]
    max_tokens: int
    seed: int
    """Differs per attempt and turn. Equal seed and prompt give an equal completion."""


@dataclass(frozen=True)
class Completion:
    """One assistant message."""

    text: str
    """Without the end-of-turn token; reasoning and call markers included."""
    ids_T: tuple[int, ...] = ()
    """Sampled tokens, the end-of-turn token included; empty for text engines."""
    logprobs_T: tuple[float, ...] = ()
    """Log-probability (nats) of each sampled token under the distribution that it was drawn from."""
    finish: Finish = Finish.END


class Engine(Protocol):
    """Anything that can act."""

    def sample(self, requests: Sequence[Request]) -> Sequence[Completion | InfrastructureError]:
        """One completion per request, in order; the failure, where the engine itself failed at one in spite of retries."""
        ...
