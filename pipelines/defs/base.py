"""The student before any training: made from nothing, or a pretrained model brought into our layout."""

import dagster as dg

from data_contracts.manifests import RunInput, RunKind
from pipelines.defs.checkpoints import release_checkpoint
from pipelines.defs.outcome import Result, check_specs, metrics_of
from pipelines.defs.recorded import recorded_attempts
from pipelines.defs.teacher import teacher_attempts
from pipelines.launchers.local import LocalLauncher
from pipelines.recipe import Recipe
from pipelines.resources import DatasetStore, RecipeResource
from pipelines.store import Store
from pipelines.viewer.plots import counts

SCRATCH = "scratch"
"""Value of [init] model for a student that is made from nothing."""


@dg.asset(
    deps=[teacher_attempts, recorded_attempts],
    check_specs=check_specs("base_checkpoint", "contract"),
    pool="gpu",
)
def base_checkpoint(
    context: dg.AssetExecutionContext, store: DatasetStore, recipe: RecipeResource, launcher: LocalLauncher
) -> Result:
    """The base model. A student from nothing learns its tokens from the texts of the attempts."""
    data, plan = store.open(), recipe.load()
    inputs = sft_sources(data, plan) if plan.table("init").get("model") == SCRATCH else ()
    spec = data.spec(RunKind.INIT, plan.for_process("init"), inputs)
    result = launcher.run(context, spec, "init")
    plot = dg.MetadataValue.md(counts("Parameters by part", parameters_by_part(metrics_of(result))))
    return release_checkpoint(context, data, "base_checkpoint", spec, result, {"plot": plot})


def parameters_by_part(metrics: dict[str, float]) -> dict[str, int]:
    """The numbers of parameters that `python -m trainer init` tells of, without their sum."""
    prefix = "parameters_"
    return {name.removeprefix(prefix): int(n) for name, n in metrics.items() if name.startswith(prefix)}


def sft_sources(store: Store, recipe: Recipe) -> tuple[RunInput, RunInput]:
    """The attempts that SFT learns from, and their tasks: the teacher's, or recorded ones ([sft_data] source)."""
    prefix = recipe.table("sft_data").get("source")
    if prefix not in ("teacher", "recorded"):
        raise ValueError(f"recipe [sft_data] source={prefix!r}: write 'teacher' or 'recorded'")
    attempts, tasks = (
        store.latest(f"{prefix}_attempts"),
        store.latest("tasks" if prefix == "teacher" else "recorded_tasks"),
    )
    return attempts.model_copy(update={"name": "attempts"}), tasks.model_copy(update={"name": "tasks"})
