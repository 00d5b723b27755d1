"""What RL works on: the tasks that the student it starts from solves sometimes."""

from typing import Literal

import dagster as dg
from pydantic import Field

from data_contracts.decisions import Decision
from data_contracts.difficulty import Difficulty
from data_contracts.manifests import RunInput
from data_contracts.overlaps import Overlap
from data_contracts.tasks import Task
from pipelines.curation.recipes import RlDataRecipe
from pipelines.curation.selection import select_rl
from pipelines.defs.contamination import overlaps_of
from pipelines.defs.outcome import (
    Metadata,
    Result,
    accounted_check,
    check_specs,
    contract_check,
    enough_check,
    reason_counts,
    released,
    verdict_counts,
)
from pipelines.defs.students import task_difficulty
from pipelines.recipe import Recipe
from pipelines.resources import DatasetStore, RecipeResource
from pipelines.store import Store, checkpoint_manifest
from pipelines.viewer.plots import counts


class RlDataTable(RlDataRecipe):
    """The recipe table [rl_data]."""

    start: Literal["base", "sft"]
    """The student that RL starts from; its difficulty decides."""
    min_rows: int = Field(ge=1)
    """Fewest tasks that RL is worth starting with."""

    def filters(self) -> RlDataRecipe:
        """The part that decisions are made by."""
        return RlDataRecipe(**self.model_dump(include=set(RlDataRecipe.model_fields)))


def start_checkpoint(store: Store, recipe: Recipe) -> RunInput:
    """The checkpoint that RL starts from ([rl_data] start): `sft`, or `base` for RL without SFT."""
    return store.input("checkpoint", f"{recipe.parse('rl_data', RlDataTable).start}_checkpoint")


@dg.asset(
    deps=[task_difficulty],
    check_specs=check_specs("rl_dataset", "contract", "accounted", "enough_rows"),
)
def rl_dataset(store: DatasetStore, recipe: RecipeResource) -> Result:
    """Tasks with something to learn for the student that RL starts from, and the decision on every task."""
    data, plan = store.open(), recipe.load()
    table = plan.parse("rl_data", RlDataTable)
    student = checkpoint_manifest(start_checkpoint(data, plan)).revision
    sources = [data.latest("student_tasks", student), data.latest("task_difficulty", student)]
    tasks = data.read(sources[0], Task)
    overlaps = overlaps_of(data, plan, tasks)
    kept, decisions = select_rl(tasks, data.read(sources[1], Difficulty), table.filters(), overlaps)
    entry = data.write("rl_dataset", kept, Task, sources)
    written = data.write("rl_decisions", decisions, Decision, sources)
    shared = data.write("rl_overlaps", overlaps, Overlap, sources)
    checks = [
        contract_check(data, [(entry, Task), (written, Decision), (shared, Overlap)]),
        accounted_check((task.key for task in tasks), decisions),
        enough_check(len(kept), table.min_rows, "rl_data"),
    ]
    metadata: Metadata = {
        "num_tasks": len(kept),
        "student": student,
        **verdict_counts(decisions),
        "plot": dg.MetadataValue.md(counts(f"Tasks for {student}", reason_counts(decisions))),
    }
    outputs = {"rl_dataset": entry, "rl_decisions": written, "rl_overlaps": shared}
    return released(data, outputs, checks, metadata)
