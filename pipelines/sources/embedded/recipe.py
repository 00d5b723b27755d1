"""The recipe table `[tasks]` of the embedded source."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TasksRecipe(BaseModel):
    """How many tasks there are, and how few of the scarce ones the teacher works on.

    Example:
        TasksRecipe(num_train=2000, num_test_per_family=64, scarce_share=0.5, num_scarce_for_teacher=12)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_train: int = Field(gt=0)
    """Train tasks of all families together."""
    num_test_per_family: int = Field(gt=0)
    scarce_share: float = Field(ge=0, lt=1)
    """Share of the train tasks that come from scarce families."""
    num_scarce_for_teacher: int = Field(ge=0)
    """Scarce train tasks, of all scarce families together, that the teacher attempts."""

    @property
    def num_scarce_train(self) -> int:
        """Train tasks from scarce families."""
        return round(self.num_train * self.scarce_share)

    @model_validator(mode="after")
    def _teacher_has_enough(self) -> Self:
        if self.num_scarce_for_teacher > self.num_scarce_train:
            raise ValueError(
                f"num_scarce_for_teacher={self.num_scarce_for_teacher} but num_train={self.num_train} with "
                f"scarce_share={self.scarce_share} gives {self.num_scarce_train} scarce tasks: lower it or raise those"
            )
        return self
