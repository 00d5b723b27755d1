"""Reinforcement learning on the tasks that the student solves sometimes."""

import dagster as dg

from data_contracts.manifests import RunKind
from pipelines.defs.checkpoints import release_checkpoint, train
from pipelines.defs.outcome import Result, check_specs
from pipelines.defs.rl_data import rl_dataset, start_checkpoint
from pipelines.launchers.local import LocalLauncher
from pipelines.resources import DatasetStore, RecipeResource

CURVES = {
    "plot": {"reward": "reward", "accuracy": "accuracy", "call_success": "call success"},
    "plot_entropy": {"entropy": "entropy, nats a token"},
    "plot_sampler_gap": {"sampler_gap": "|trainer - sampler|, nats a token"},
    "plot_gradient": {"gradient_norm": "gradient norm"},
}


@dg.asset(
    deps=[rl_dataset],
    check_specs=check_specs("rl_checkpoint", "contract"),
    pool="gpu",
)
def rl_checkpoint(
    context: dg.AssetExecutionContext, store: DatasetStore, recipe: RecipeResource, launcher: LocalLauncher
) -> Result:
    """The student after RL from the checkpoint that [rl_data] start names; registers as a new student."""
    data, plan = store.open(), recipe.load()
    inputs = [data.input("tasks", "rl_dataset"), start_checkpoint(data, plan)]
    spec = data.spec(RunKind.RL, plan.for_process("rl"), inputs)
    result, plots = train(context, launcher, spec, "rl", CURVES)
    return release_checkpoint(context, data, "rl_checkpoint", spec, result, plots)
