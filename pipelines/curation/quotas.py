"""The recipe of quotas: at most so many rows of a kind."""

import math
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.curation.texts import Aspect
from pipelines.curation.vectors import HASHING, EmbedderRecipe


class By(StrEnum):
    """What makes rows one kind."""

    DOMAIN = "domain"
    SOURCE = "source"
    TOOLS = "tools"
    """The set of tools called."""
    CLUSTER = "cluster"
    """Spherical k-means of their vectors."""
    DIFFICULTY = "difficulty"
    """Hard, medium or easy for the policy that made the attempt, by its labelled independent attempts at the task."""


class QuotaRecipe(BaseModel):
    """At most so many rows of each kind; the rows of most merit stay, then the first by key.

    Example:
        QuotaRecipe(by=By.CLUSTER, clusters=64, max_share=0.05, seed=0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: By
    max_rows: int | None = Field(default=None, ge=1)
    max_share: float | None = Field(default=None, gt=0, le=1)
    """Of the rows that come to this quota; one row of each kind may always stay."""
    clusters: int | None = Field(default=None, ge=1)
    """By cluster: how many."""
    aspect: Aspect = Aspect.QUESTION
    """By cluster: what of the attempts is compared."""
    embedder: EmbedderRecipe = HASHING
    seed: int = 0

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.max_rows is None) == (self.max_share is None):
            raise ValueError(
                f"quota by {self.by.value}: set one of max_rows {self.max_rows} and max_share {self.max_share}"
            )
        if (self.clusters is None) == (self.by is By.CLUSTER):
            raise ValueError(
                f"quota by {self.by.value} with clusters = {self.clusters}: clusters belong to by = 'cluster'"
            )
        return self

    def most(self, num_rows: int) -> int:
        """Rows that each kind may keep of so many: at least one, however few there are."""
        if self.max_rows is not None:
            return self.max_rows
        return max(1, math.floor(num_rows * (self.max_share or 0) + 1e-9))
