"""Supervised fine-tuning of the base student on the SFT dataset."""

import dagster as dg

from data_contracts.manifests import RunKind
from data_contracts.tasks import Task
from pipelines.defs.base import base_checkpoint
from pipelines.defs.checkpoints import release_checkpoint, train
from pipelines.defs.outcome import Result, check_specs
from pipelines.defs.sft_data import sft_dataset
from pipelines.defs.task_sets import validation_tasks
from pipelines.launchers.local import LocalLauncher
from pipelines.resources import DatasetStore, RecipeResource

CURVES = {
    "plot": {"loss": "loss", "accuracy": "accuracy (validation tasks)"},
    "plot_entropy": {"entropy": "entropy, nats a token"},
    "plot_gradient": {"gradient_norm": "gradient norm"},
}


@dg.asset(
    deps=[sft_dataset, base_checkpoint],
    check_specs=check_specs("sft_checkpoint", "contract"),
    pool="gpu",
)
def sft_checkpoint(
    context: dg.AssetExecutionContext, store: DatasetStore, recipe: RecipeResource, launcher: LocalLauncher
) -> Result:
    """The student after SFT, at its measured plateau where the recipe measures it ([sft] eval_every)."""
    data, plan = store.open(), recipe.load()
    inputs = [data.input("dataset", "sft_dataset"), data.input("checkpoint", "base_checkpoint")]
    if plan.table("sft").get("eval_every"):
        source = data.latest("tasks")
        held_out = validation_tasks(data.read(source, Task), plan)
        inputs.append(data.write("eval_tasks", held_out, Task, [source]))
    spec = data.spec(RunKind.SFT, plan.for_process("sft"), inputs)
    result, plots = train(context, launcher, spec, "sft", CURVES)
    return release_checkpoint(context, data, "sft_checkpoint", spec, result, plots)
