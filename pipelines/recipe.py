"""A recipe: one TOML file with one table a stage, and overrides `stage.key=value`."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from data_contracts.ids import canonical_json
from rollout.names import nearest

RECIPES = Path(__file__).with_name("recipes")
TABLES = (
    "tasks",
    "tools",
    "sandbox",
    "teacher",
    "recorded",
    "init",
    "decontamination",
    "scale",
    "sft_data",
    "ablation",
    "sft",
    "difficulty",
    "rl_data",
    "rl",
    "evaluation",
    "publish",
)
TRAINING = ("sft", "rl")
ACTING = ("teacher", "difficulty", "evaluation", *TRAINING)
"""Stages in which a model calls tools; those of TRAINING say in `sampling` how."""
LAUNCH_KEYS = ("seed", "num_gpus")
"""Keys of a process's table that its launcher takes out: they are fields of the RunSpec."""
STAGE_KEYS = {"difficulty": ("num_tasks",), "evaluation": ("suites",)}
"""Keys of a process's table that the pipeline reads; the process never sees them."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class StageRecipe:
    """What a process of its own is given."""

    canonical: str
    """Canonical JSON of the table, without LAUNCH_KEYS."""
    seed: int
    num_gpus: int


@dataclass(frozen=True)
class Recipe:
    """The resolved recipe of a run.

    Example:
        load_recipe("embedded", ["sft.max_steps=40"]).table("sft")["max_steps"]  # 40
    """

    name: str
    tables: dict[str, dict[str, Any]]

    def table(self, stage: str) -> dict[str, Any]:
        """The table of a stage. Raises ValueError for a stage that this recipe leaves out."""
        if stage not in self.tables:
            raise ValueError(f"recipe {self.name!r} has no table [{stage}]: add it, or leave this stage out")
        return self.tables[stage]

    def parse(self, stage: str, model: type[M]) -> M:
        """The table of a stage as a record. Raises ValueError for unknown keys (with the nearest name) and bad values."""
        return parse_table(stage, self.table(stage), model)

    def seed(self, stage: str) -> int:
        """The seed of a stage. Raises ValueError where the table states none."""
        seed = self.table(stage).get("seed")
        if not isinstance(seed, int):
            raise ValueError(
                f"recipe {self.name!r}: [{stage}] seed={seed!r}, but it decides the result: add `seed = 0`"
            )
        return seed

    def for_process(self, stage: str, **fields: Any) -> StageRecipe:
        """The table of a stage as its process takes it, with `fields` that the pipeline fills in."""
        table = self.table(stage)
        own = (*LAUNCH_KEYS, *STAGE_KEYS.get(stage, ()))
        given = {key: value for key, value in table.items() if key not in own} | self._acting(stage) | fields
        return StageRecipe(canonical_json(given), self.seed(stage), table.get("num_gpus", 0))

    def _acting(self, stage: str) -> dict[str, Any]:
        """Tools and sandbox of the whole recipe, as the processes that act take them; a key is absent without its table, and
        what the stage says of its own sandbox wins."""
        if stage not in ACTING:
            return {}
        table = self.table(stage)
        own = table.get("sampling", {}) if stage in TRAINING else table
        shared = {name: self.tables[name] for name in ("tools", "sandbox") if self.tables.get(name)}
        if "sandbox" in shared:
            shared["sandbox"] = {**shared["sandbox"], **own.get("sandbox", {})}
        return {"sampling": {**own, **shared}} if stage in TRAINING and shared else shared

    def canonical(self) -> str:
        """The whole resolved recipe as canonical JSON: saved with the published dataset."""
        return canonical_json({"name": self.name, **self.tables})


def parse_table(stage: str, table: Mapping[str, Any], model: type[M]) -> M:
    """A recipe table as a record of `model`. Raises ValueError with one line per fault."""
    try:
        return model.model_validate(table)
    except ValidationError as error:
        known = sorted(model.model_fields)
        lines = [_fault(stage, fault["type"], fault["loc"], fault["msg"], known) for fault in error.errors()]
        raise ValueError("; ".join(lines)) from error


def _fault(stage: str, kind: str, place: Sequence[str | int], message: str, known: Sequence[str]) -> str:
    key = ".".join(str(part) for part in place)
    if kind == "extra_forbidden":
        return f"recipe [{stage}] has no key {key!r}{nearest(key, known)}"
    return f"recipe [{stage}] {key}: {message}"


def recipe_path(name: str) -> Path:
    """The file of a recipe: one of pipelines/recipes, or a path to a TOML file. Raises FileNotFoundError."""
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    if not path.is_file():
        known = [found.stem for found in RECIPES.glob("*.toml")]
        raise FileNotFoundError(
            f"recipe {name!r} does not exist{nearest(name, known)}: name one of these or a .toml file"
        )
    return path


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides `stage.key=value`. Raises ValueError, naming the table, for unknown ones."""
    path = recipe_path(name)
    try:
        tables = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no valid TOML: {error}") from error
    for table, value in tables.items():
        _known_table(table)
        if not isinstance(value, dict):
            raise ValueError(f"{path}: {table!r} stands outside any table; put it into one, e.g. [sft]")
    for override in overrides:
        _apply(tables, override)
    return Recipe(path.stem, tables)


def default_recipe() -> str:
    """The recipe that TOOLPATH_RECIPE names, or the embedded one."""
    return os.environ.get("TOOLPATH_RECIPE") or "embedded"


def _known_table(table: str) -> None:
    if table not in TABLES:
        raise ValueError(f"a recipe has no table [{table}]{nearest(table, TABLES)}")


def _apply(tables: dict[str, dict[str, Any]], override: str) -> None:
    place, equals, value = override.partition("=")
    stage, dot, key = place.strip().partition(".")
    if not (equals and dot and key):
        raise ValueError(f"--set {override!r}: write stage.key=value, e.g. --set sft.max_steps=40")
    _known_table(stage)
    *path, last = key.split(".")
    table = tables.setdefault(stage, {})
    for part in path:
        table = table.setdefault(part, {})
    table[last] = _value(value.strip())


def _value(text: str) -> Any:
    """A TOML value; what is none is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
