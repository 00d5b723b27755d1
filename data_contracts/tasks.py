"""A task: what is asked, with which tools, and how an answer is judged."""

from enum import StrEnum
from typing import ClassVar, Self

from pydantic import Field

from data_contracts.attempts import RewardPart
from data_contracts.ids import content_hash
from data_contracts.messages import Message
from data_contracts.record import Record
from data_contracts.tools import ToolSpec


class Split(StrEnum):
    """What a task may be used for."""

    TRAIN = "train"
    TEST = "test"


class PromptMode(StrEnum):
    """How the task asks the model to work (reference: arXiv 2510.11701, deliberative against reactive mode)."""

    DIRECT = "direct"
    DELIBERATIVE = "deliberative"
    REACTIVE = "reactive"


class VerifierRef(Record):
    """Which verifier judges the final answer, against which reference."""

    name: str
    """A verifier registered in rollout.rewards, e.g. `math` or `exact`."""
    reference: str
    """The expected answer. Never shown to a model."""


class TaskLimits(Record):
    """Limits of one attempt."""

    max_turns: int = 8
    """Assistant messages."""
    max_calls: int = 7
    """Tool calls that are executed; later ones are answered with an error message."""
    max_tokens: int = 512
    """Tokens of the whole sequence: prompt, model and tool."""
    max_result_tokens: int = 128
    """Tokens of one tool result; a longer one keeps head and tail, and says so."""
    max_tool_s: float | None = Field(default=None, gt=0)
    """Seconds that the attempt may wait for its tools, all turns together; None: what the run sets."""


class Task(Record):
    """One verifiable task. `key` is the hash of what defines it: prompt, tools, verifier and limits.

    Example:
        Task.create(messages=(Message(role=Role.USER, content="6 * 7?"),), verifier=VerifierRef(name="math", reference="42"),
                    source="embedded", source_id="add-1", domain="one_step", licence="Apache-2.0", split=Split.TRAIN)
    """

    contract: ClassVar[str] = "task"

    key: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    verifier: VerifierRef | None = None
    """None: the task cannot be judged; attempts at it stay unlabelled."""
    limits: TaskLimits = TaskLimits()
    mode: PromptMode = PromptMode.DIRECT
    source: str
    source_id: str
    """Unique inside its source."""
    domain: str
    """Family or subject, for quotas and tables."""
    licence: str
    split: Split
    scores: tuple[RewardPart, ...] = ()
    """What a judge or a process reward model said of it before anyone attempted it. No part of the key."""

    @classmethod
    def create(
        cls,
        *,
        messages: tuple[Message, ...],
        source: str,
        source_id: str,
        domain: str,
        licence: str,
        split: Split,
        tools: tuple[ToolSpec, ...] = (),
        verifier: VerifierRef | None = None,
        limits: TaskLimits | None = None,
        mode: PromptMode = PromptMode.DIRECT,
        scores: tuple[RewardPart, ...] = (),
    ) -> Self:
        """Build a task and its key. Raises ValueError for a task that nobody could answer or judge."""
        if not any(m.content.strip() for m in messages):
            raise ValueError(
                f"task {source}/{source_id} has no text in its messages: give it at least one user message"
            )
        if verifier is not None and not verifier.reference.strip():
            raise ValueError(
                f"task {source}/{source_id} has verifier {verifier.name!r} but no answer: "
                "give verifier.reference, or verifier=None for an unlabelled task"
            )
        limits = limits or TaskLimits()
        identity = [
            [m.plain() for m in messages],
            [t.plain() for t in tools],
            verifier.plain() if verifier else None,
            limits.model_dump(mode="json", exclude_none=True),
            mode.value,
        ]
        return cls(
            key=f"task-{content_hash(identity)}",
            messages=messages,
            tools=tools,
            verifier=verifier,
            limits=limits,
            mode=mode,
            source=source,
            source_id=source_id,
            domain=domain,
            licence=licence,
            split=split,
            scores=scores,
        )

    def declaring(self, tools: tuple[ToolSpec, ...]) -> Self:
        """The same task with other tools, and so with another key."""
        fields = {name: getattr(self, name) for name in type(self).model_fields if name not in ("key", "tools")}
        return type(self).create(**fields, tools=tools)
