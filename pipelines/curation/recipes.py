"""The recipe tables `[sft_data]` and `[rl_data]`."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_contracts.ids import content_hash


class _FilterRecipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def version(self, rules: str) -> str:
        """`rules` and the hash of these options, e.g. `sft-1+3f2a91c0`: what a decision was made by."""
        return f"{rules}+{content_hash(self.model_dump(mode='json'))[:8]}"


class SftDataRecipe(_FilterRecipe):
    """Which attempts become SFT rows. Void attempts never do.

    Example:
        SftDataRecipe(needs_tool_call=False, max_per_task=4)
    """

    verified: bool = True
    """Keep correct attempts only."""
    drop_all_calls_failed: bool = True
    """C1: drop what is wrong and has no successful call."""
    keep_wrong_without_call: bool = True
    """C1 spares wrong attempts that never called (TAO-RL's literal rule does not)."""
    success_needs_output: bool = False
    """C1 counts a call as successful only if it printed something."""
    drop_void_turns: bool = True
    drop_truncated: bool = True
    drop_duplicates: bool = True
    needs_tool_call: bool = True
    """Keep attempts that called a tool only."""
    max_per_task: int | None = Field(default=None, ge=1)
    """At most so many attempts per task, the first by key; None: all."""


class RlDataRecipe(_FilterRecipe):
    """Which tasks RL works on, from their difficulty for the student.

    Example:
        RlDataRecipe(min_attempts=8, pass_rate_low=0.1, pass_rate_high=0.9, min_probability=0.5)
    """

    min_attempts: int = Field(default=2, ge=2)
    """Fewer independent labelled attempts decide nothing."""
    drop_uniform_groups: bool = True
    """C2: drop tasks that the student always or never solves."""
    pass_rate_low: float = Field(default=0.0, ge=0, le=1)
    pass_rate_high: float = Field(default=1.0, ge=0, le=1)
    min_probability: float = Field(default=0.0, ge=0, le=1)
    """Keep where P(pass_rate_low < p < pass_rate_high) under the posterior is at least this."""

    @model_validator(mode="after")
    def _window_is_open(self) -> Self:
        if self.pass_rate_low >= self.pass_rate_high:
            raise ValueError(
                f"pass_rate_low={self.pass_rate_low} is not below pass_rate_high={self.pass_rate_high}: no task can pass"
            )
        return self
