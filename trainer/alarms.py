"""What stops a run before a night is lost: figures outside their bounds, several steps in a row. Pure."""

from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import Field, model_validator

from data_contracts.record import Record

Line = Mapping[str, float | None]


class AlarmError(ValueError):
    """A run that is no longer worth its compute."""


class Alarms(Record):
    """The recipe table `alarms` of [sft] and [rl]; what is None rings for nothing.

    Example:
        Alarms(max_sampler_gap=0.1, min_entropy=0.05, max_entropy=4.0)
    """

    patience: int = Field(3, ge=1)
    """Steps in a row outside a bound until it rings."""
    max_sampler_gap: float | None = Field(None, gt=0)
    """Mean |trainer - sampler| log-probability, nats: the two are no longer the same policy."""
    min_entropy: float | None = Field(None, ge=0)
    """Mean per token, nats: exploration has died."""
    max_entropy: float | None = Field(None, gt=0)
    """The policy falls apart."""
    max_nonfinite_steps: int | None = Field(20, ge=0)
    """Updates left out in all because their gradient was not finite."""

    @model_validator(mode="after")
    def _band_is_open(self) -> Self:
        if None not in (self.min_entropy, self.max_entropy) and (self.min_entropy or 0) >= (self.max_entropy or 0):
            raise ValueError(f"min_entropy {self.min_entropy} is not below max_entropy {self.max_entropy}")
        return self


REMEDIES = {
    "sampler_gap": "the sampler no longer acts by the policy that is trained: set recompute_logprobs = true with a correction "
    "(tis), and look at the sampler's precision, template and top-p",
    "entropy below": "the policy has collapsed: raise clip_high, lower lr, or start from a checkpoint before it",
    "entropy above": "the policy falls apart: lower lr, and remove entropy_coefficient and entropy_bonus",
    "nonfinite": "lower lr or grad_clip, and look for rows with broken log-probabilities",
}
"""What to do about each alarm."""


def ringing(alarms: Alarms, lines: Sequence[Line]) -> str | None:
    """What is wrong with a run whose steps' figures are these, oldest first, and what to do; None where nothing is.

    Only the last `patience` lines are looked at; a figure that was not measured in one of them rings no alarm.
    """
    if not lines:
        return None
    for key, limit, above in (
        ("sampler_gap", alarms.max_sampler_gap, True),
        ("entropy", alarms.min_entropy, False),
        ("entropy", alarms.max_entropy, True),
    ):
        if limit is not None and _outside(lines, key, limit, above, alarms.patience):
            side = "above" if above else "below"
            remedy = REMEDIES[key if key in REMEDIES else f"{key} {side}"]
            return f"{key} was {side} {limit} for {alarms.patience} steps, last {lines[-1][key]:.4g}: {remedy}"
    lost = lines[-1].get("nonfinite_steps") or 0
    if alarms.max_nonfinite_steps is not None and lost > alarms.max_nonfinite_steps:
        return f"{lost:.0f} updates had no finite gradient, more than {alarms.max_nonfinite_steps}: {REMEDIES['nonfinite']}"
    return None


def _outside(lines: Sequence[Line], key: str, limit: float, above: bool, patience: int) -> bool:
    values = [line.get(key) for line in lines[-patience:]]
    return len(values) == patience and all(
        value is not None and (value > limit if above else value < limit) for value in values
    )
