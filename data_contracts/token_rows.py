"""The token row: what a trainer reads, one row per attempt (or per branch of an attempt whose template breaks its prefix)."""

from enum import IntEnum
from typing import ClassVar, Self

from pydantic import model_validator

from data_contracts.arrow_types import Float32, Int8, Int16, Int32
from data_contracts.attempts import Origin, Outcome, RewardPart, StopReason
from data_contracts.record import Record


class SegmentKind(IntEnum):
    """What a token is part of. The codes are stored; never renumber them."""

    CONTEXT = 0
    """Scaffolding of the template: control tokens, role headers, line ends that nobody wrote."""
    PROMPT = 1
    """Text of system and user messages, tool declarations included."""
    REASONING = 2
    """Assistant text between the reasoning markers, and the markers."""
    CALL = 3
    """A tool call, its markers included."""
    RESULT = 4
    """Text of a tool result."""
    ANSWER = 5
    """Any other assistant text, the end-of-turn token that ends it included."""


ASSISTANT_KINDS = frozenset({SegmentKind.REASONING, SegmentKind.CALL, SegmentKind.ANSWER})


class TokenRow(Record):
    """Token ids with, per token, what it is and whether it is trained.

    Example:
        TokenRow(key="row-1", attempt_key="attempt-1", task_key="task-1", branch=0, policy="embedded@base",
                 tokenizer_id="t", origin=Origin.SAMPLED, stop=StopReason.END, outcome=Outcome.CORRECT,
                 tokens_T=(1, 5, 2), kinds_T=(0, 5, 5), trained_T=(False, True, True), logprobs_T=(None, -0.1, -0.2),
                 turns_T=(0, 0, 0))
    """

    contract: ClassVar[str] = "token_row"

    key: str
    attempt_key: str
    task_key: str
    """The group of a row is its (task_key, policy)."""
    branch: int = 0
    """0 unless the template broke its prefix; then the rows of one attempt are numbered and train each token once."""
    policy: str
    """`name@revision` of who acted."""
    tokenizer_id: str
    origin: Origin
    stop: StopReason
    outcome: Outcome
    rewards: tuple[RewardPart, ...] = ()
    tokens_T: tuple[Int32, ...]
    kinds_T: tuple[Int8, ...]
    """SegmentKind codes; parallel to tokens_T."""
    trained_T: tuple[bool, ...]
    """True for sampled tokens (origin sampled) or rendered assistant tokens (origin rendered); parallel to tokens_T."""
    logprobs_T: tuple[Float32 | None, ...]
    """Behaviour log-probabilities in nats; None where not measured; parallel to tokens_T."""
    turns_T: tuple[Int16, ...]
    """The assistant turn that a token belongs to or prepares; parallel to tokens_T."""
    domain: str = ""
    source: str = ""
    licence: str = ""

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        lengths = {
            name: len(getattr(self, name)) for name in ("tokens_T", "kinds_T", "trained_T", "logprobs_T", "turns_T")
        }
        if len(set(lengths.values())) != 1:
            raise ValueError(f"row {self.key}: the per-token fields must have one length, got {lengths}")
        assistant = {int(kind) for kind in ASSISTANT_KINDS}
        if any(trained and kind not in assistant for trained, kind in zip(self.trained_T, self.kinds_T, strict=True)):
            raise ValueError(f"row {self.key}: only assistant tokens may be trained (kinds {sorted(assistant)})")
        return self
