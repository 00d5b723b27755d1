"""Tasks made from a seed, small enough for a student of a million parameters that is trained from scratch on a CPU."""

from pipelines.sources.embedded.families import FAMILIES, scarce_families
from pipelines.sources.embedded.generation import generate
from pipelines.sources.embedded.recipe import TasksRecipe
from pipelines.sources.embedded.selection import teacher_tasks

__all__ = ["FAMILIES", "TasksRecipe", "generate", "scarce_families", "teacher_tasks"]
