"""All tables of a recipe, checked before the first step: a slip in [rl] is not to be found after an hour of SFT."""

import json
import subprocess
from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from pipelines.curation.workers import ScaleRecipe
from pipelines.defs.contamination import DecontaminationTable
from pipelines.defs.exams import suite_choices
from pipelines.defs.publish import PublishTable
from pipelines.defs.rl_data import RlDataTable
from pipelines.defs.sft_ablation import AblationTable
from pipelines.defs.sft_data import SftDataTable
from pipelines.defs.task_sets import task_source
from pipelines.defs.task_tools import named_tools
from pipelines.recipe import TRAINING, Recipe, parse_table
from pipelines.sources.importers import RecordedRecipe
from rollout.recipe import EvaluateRecipe, SampleRecipe

OWN: dict[str, type[BaseModel]] = {
    "recorded": RecordedRecipe,
    "decontamination": DecontaminationTable,
    "scale": ScaleRecipe,
    "ablation": AblationTable,
    "sft_data": SftDataTable,
    "rl_data": RlDataTable,
    "publish": PublishTable,
}
SAMPLED: dict[str, type[BaseModel]] = {
    "teacher": SampleRecipe,
    "difficulty": SampleRecipe,
    "evaluation": EvaluateRecipe,
}
TRAINED = ("init", "sft", "rl")
FILLED_IN = {"evaluation": {"label": "", "groups": {}}}
"""Keys that the pipeline adds to a process's table, with a value of the right type."""


def check_recipe(recipe: Recipe, trainer_python: str) -> None:
    """Raises ValueError with every fault of every table; the trainer's own tables are read by `trainer_python`."""
    faults = [*faults_here(recipe), *contradictions(recipe), *trainer_faults(recipe, trainer_python)]
    if faults:
        raise ValueError("; ".join(faults))


def faults_here(recipe: Recipe) -> Iterator[str]:
    """The faults of all tables but the trainer's."""
    for stage in recipe.tables:
        try:
            _check(recipe, stage)
        except ValueError as error:
            yield str(error)


def _check(recipe: Recipe, stage: str) -> None:
    if stage == "tasks":
        task_source(recipe)
        named_tools(recipe)
        recipe.seed(stage)
    elif stage in OWN:
        recipe.parse(stage, OWN[stage])
    elif stage in SAMPLED:
        parse_table(stage, _process_table(recipe, stage), SAMPLED[stage])
    if stage == "evaluation":
        suite_choices(recipe)


def contradictions(recipe: Recipe) -> Iterator[str]:
    """What is wrong between tables."""
    adaptive = recipe.tables.get("difficulty", {}).get("adaptive", {})
    first, fewest = adaptive.get("first"), recipe.tables.get("rl_data", {}).get("min_attempts")
    if first is not None and fewest is not None and fewest > first:
        yield (
            f"recipe [rl_data] min_attempts {fewest} exceeds [difficulty.adaptive] first {first}: tasks whose verdict is clear "
            f"after {first} attempts would be dropped; lower min_attempts to {first}"
        )


def _process_table(recipe: Recipe, stage: str) -> dict[str, object]:
    table: dict[str, object] = json.loads(recipe.for_process(stage, **FILLED_IN.get(stage, {})).canonical)
    return table


def trainer_tables(recipe: Recipe) -> dict[str, dict[str, object]]:
    """The trainer's tables as its processes take them."""
    return {stage: _process_table(recipe, stage) for stage in TRAINED if stage in recipe.tables}


def trainer_faults(recipe: Recipe, python: str) -> list[str]:
    """What `python -m trainer check` says of them."""
    command = [python, "-m", "trainer", "check"]
    tables = json.dumps(trainer_tables(recipe))
    done = subprocess.run(command, input=tables, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    words = done.stderr.strip().splitlines() or [f"{' '.join(command)} ended with {done.returncode} and said nothing"]
    return [words[-1].removeprefix("error: ")]


def _max_row_tokens(recipe: Recipe, stage: str) -> int | None:
    """What a row may have, as far as the recipe tells: in RL what it allows an attempt, else what it allows a row of SFT."""
    allowed = recipe.tables.get("tasks", {}).get("limits", {}).get("max_tokens") if stage == "rl" else None
    if allowed is None and "sft_data" in recipe.tables:
        return recipe.parse("sft_data", SftDataTable).max_tokens
    return allowed


def trainer_estimate(recipe: Recipe, python: str, options: Sequence[str]) -> str:
    """What `python -m trainer estimate` says of the recipe's training. Raises ValueError with every fault of the pipeline's
    tables, or with what the trainer says of its own."""
    faults = [*faults_here(recipe), *contradictions(recipe)]
    if faults:
        raise ValueError("; ".join(faults))
    tables = trainer_tables(recipe)
    for stage in set(tables) & set(TRAINING):
        tables[stage]["num_gpus"] = recipe.table(stage).get("num_gpus", 0)
        tables[stage]["max_row_tokens"] = _max_row_tokens(recipe, stage)
    command = [python, "-m", "trainer", "estimate", *options]
    done = subprocess.run(command, input=json.dumps(tables), capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError((done.stderr.strip().splitlines() or ["no message"])[-1].removeprefix("error: "))
    return done.stdout.strip()
