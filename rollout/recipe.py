"""Recipes of the processes of this room: what is sampled, by whom, how."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from rollout.engines.openai import Api
from rollout.rendering import Family
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
    """CPU threads; more than one collapses as soon as another process wants a core."""


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


class SampleRecipe(_Table):
    """Attempts at tasks: tables [teacher] and [difficulty]."""

    engine: EngineRecipe
    family: Family
    num_attempts: int = Field(ge=1)
    """G, per task."""
    tasks_per_shard: int = Field(ge=1)
    """Tasks in one unit of work and of resume."""
    tool_variant: ToolVariant = ToolVariant.REAL


class EvaluateRecipe(SampleRecipe):
    """Attempts at held-out tasks, and a report: table [evaluation]."""

    label: str
    """Name in tables: base, sft, rl, ..."""
    suite: str
    groups: dict[str, list[str]] = Field(default_factory=dict)
    """Named sets of domains that get a row of their own, beside `all` and each domain."""
