"""What assets are given: the store, the recipe, and the launcher of processes."""

import os
import sys
from pathlib import Path

import dagster as dg
from pydantic import Field

from pipelines.launchers.local import LocalLauncher
from pipelines.recipe import Recipe, default_recipe, load_recipe
from pipelines.store import Store, data_root


class DatasetStore(dg.ConfigurableResource["DatasetStore"]):
    """The data folder (TOOLPATH_DATA)."""

    root: str

    def open(self) -> Store:
        """The store under `root`."""
        return Store(Path(self.root))


class RecipeResource(dg.ConfigurableResource["RecipeResource"]):
    """The recipe by name or path (TOOLPATH_RECIPE), and overrides `stage.key=value`."""

    name: str
    overrides: list[str] = Field(default_factory=list)

    def load(self) -> Recipe:
        """The resolved recipe, read now: an edit of the file counts from the next materialisation on."""
        return load_recipe(self.name, self.overrides)


def trainer_python() -> str:
    """The interpreter of the trainer: TOOLPATH_TRAINER_PYTHON, or this one."""
    return os.environ.get("TOOLPATH_TRAINER_PYTHON", sys.executable)


def default_resources() -> dict[str, object]:
    """The resources as the environment names them."""
    return {
        "store": DatasetStore(root=str(data_root())),
        "recipe": RecipeResource(name=default_recipe()),
        "launcher": LocalLauncher(
            rollout_python=os.environ.get("TOOLPATH_ROLLOUT_PYTHON", sys.executable),
            trainer_python=trainer_python(),
        ),
    }
