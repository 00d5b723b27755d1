"""Recipes of the processes of this room: what is sampled, by whom, how."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_contracts.tasks import PromptMode
from rollout.agent import MAX_TOOL_S
from rollout.engines.openai import Api
from rollout.executor import SandboxTable
from rollout.rendering import Family
from rollout.tools.tables import ToolTable
from rollout.tools.variants import ToolVariant


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScriptedRecipe(_Table):
    """The embedded default's teacher."""

    kind: Literal["scripted"]
    error_rate: float = Field(ge=0, le=1)
    oversight_rate: float = Field(ge=0, le=1)


class TransformersRecipe(_Table):
    """A checkpoint, in this process."""

    kind: Literal["transformers"]
    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    max_turn_tokens: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    num_threads: int = Field(default=1, ge=1)
    """CPU threads, at most one a core. Two are 1.5 times as fast as one on two idle cores, and slower beside other work."""


class OpenAIRecipe(_Table):
    """A server that speaks the OpenAI protocol."""

    kind: Literal["openai"]
    base_url: str
    model: str
    revision: str
    """What the provider says; goes into the provenance of every row."""
    api: Api
    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    max_turn_tokens: int = Field(ge=1)
    max_concurrent: int = Field(default=32, ge=1)
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable with the key. The key itself never enters a recipe."""


EngineRecipe = Annotated[ScriptedRecipe | TransformersRecipe | OpenAIRecipe, Field(discriminator="kind")]


class AttemptsRecipe(_Table):
    """Attempts at tasks."""

    engine: EngineRecipe
    family: Family
    num_attempts: int = Field(ge=1)
    """G, per task."""
    tasks_per_shard: int = Field(ge=1)
    """Tasks in one unit of work and of resume."""
    tool_variant: ToolVariant = ToolVariant.REAL
    tools: dict[str, ToolTable] = Field(default_factory=dict)
    """Tools that are not built by their name alone: tables [tools.NAME]."""
    mode: PromptMode | None = None
    """How every task asks the model to work; None: as each task says itself."""
    max_tool_s: float = Field(default=MAX_TOOL_S, gt=0)
    """Seconds that an attempt may wait for its tools, all turns together, where its task does not say."""
    sandbox: SandboxTable = SandboxTable()

    @property
    def title(self) -> str:
        """What tells these attempts from others of their kind, in lines of progress."""
        return ""


class AdaptiveRecipe(_Table):
    """Which tasks are left before all their `num_attempts` attempts (rollout.adaptive)."""

    first: int = Field(default=2, ge=1)
    """Attempts at every task before the first look."""
    step: int = Field(default=1, ge=1)
    """Further attempts at an open task before the next look."""
    error: float = Field(default=0.05, ge=0, lt=1)
    """Bound on P(wrong verdict) of a task that is left early with equal outcomes; 0: no verdict is ever wrong."""


class SampleRecipe(AttemptsRecipe):
    """Tables [teacher] and [difficulty]."""

    adaptive: AdaptiveRecipe | None = None
    """None: all attempts at all tasks."""

    @model_validator(mode="after")
    def _first_look_comes_before_the_end(self) -> Self:
        if self.adaptive is not None and self.adaptive.first >= self.num_attempts:
            raise ValueError(
                f"adaptive.first {self.adaptive.first} leaves nothing to save of num_attempts {self.num_attempts}: lower "
                "first, or remove [adaptive]"
            )
        return self


class EvaluateRecipe(AttemptsRecipe):
    """Attempts at held-out tasks, and a report: table [evaluation]. Never adaptive: stopping on outcomes biases accuracy."""

    label: str
    """Name in tables: base, sft, rl, ..."""
    suite: str
    suite_revision: str | None = None
    """Commit on the hub, where it comes from there."""
    groups: dict[str, list[str]] = Field(default_factory=dict)
    """Named sets of domains that get a row of their own, beside `all` and each domain."""
    redact: bool = False
    """For suites that ask not to be republished: hashes, outcomes and counts are written, no text."""

    @property
    def title(self) -> str:
        return f"{self.label} on {self.suite}"
