"""How good each policy is on held-out tasks: base, SFT, RL, and SFT with its tool disabled."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from data_contracts.manifests import EvaluationRow, RunInput, RunKind
from data_contracts.tasks import Task
from pipelines.defs.base import base_checkpoint
from pipelines.defs.outcome import Check, Metadata, Result, check_specs, contract_check, outputs_of, released
from pipelines.defs.rl import rl_checkpoint
from pipelines.defs.sft import sft_checkpoint
from pipelines.defs.task_sets import domain_groups, test_tasks
from pipelines.defs.tasks import tasks
from pipelines.launchers.local import LocalLauncher
from pipelines.recipe import Recipe
from pipelines.resources import DatasetStore, RecipeResource
from pipelines.store import Store
from pipelines.viewer.plots import interval_bars
from pipelines.viewer.tables import HEADER, ORDER, markdown, report_rows


@dataclass(frozen=True)
class Candidate:
    """One row group of the report."""

    label: str
    asset: str
    """The checkpoint that acts."""
    tool_variant: str
    """rollout.tools.variants.ToolVariant."""


CANDIDATES = (
    Candidate("base", "base_checkpoint", "real"),
    Candidate("sft", "sft_checkpoint", "real"),
    Candidate("sft, tool disabled", "sft_checkpoint", "disabled"),
    Candidate("rl", "rl_checkpoint", "real"),
)


@dg.asset(
    deps=[tasks, base_checkpoint, sft_checkpoint, rl_checkpoint],
    check_specs=check_specs("evaluation_report", "contract", "all_labels"),
    pool="gpu",
)
def evaluation_report(
    context: dg.AssetExecutionContext, store: DatasetStore, recipe: RecipeResource, launcher: LocalLauncher
) -> Result:
    """Accuracy with 95 % intervals, tool calls, call success and tokens of every candidate, per family of tasks."""
    data, plan = store.open(), recipe.load()
    reports = [evaluate(context, data, plan, launcher, candidate) for candidate in CANDIDATES]
    rows = [row for report in reports for row in data.read(report, EvaluationRow)]
    entry = data.write("evaluation_report", rows, EvaluationRow, reports)
    checks = [contract_check(data, [(entry, EvaluationRow)]), labels_check(rows)]
    return released(data, {"evaluation_report": entry}, checks, report_metadata(rows))


def evaluate(
    context: dg.AssetExecutionContext, store: Store, recipe: Recipe, launcher: LocalLauncher, candidate: Candidate
) -> RunInput:
    """The report of one candidate, from a process of its own."""
    source = store.latest("tasks")
    all_tasks = store.read(source, Task)
    held_out = store.write("test_tasks", test_tasks(all_tasks), Task, [source]).model_copy(update={"name": "tasks"})
    stage = recipe.for_process(
        "evaluation",
        label=candidate.label,
        tool_variant=candidate.tool_variant,
        groups=domain_groups(recipe, all_tasks),
    )
    spec = store.spec(RunKind.EVALUATE, stage, [held_out, store.input("checkpoint", candidate.asset)])
    context.log.info(f"evaluating {candidate.label}")
    return outputs_of(spec, launcher.run(context, spec, "evaluation"))["report"]


def labels_check(rows: Sequence[EvaluationRow]) -> Check:
    """Every candidate has a row for all tasks, on the same number of tasks."""
    found = {row.label: row.num_tasks for row in rows if row.domain == "all"}
    wanted = {candidate.label for candidate in CANDIDATES}
    says = ", ".join(f"{label}: {number} tasks" for label, number in found.items())
    return Check("all_labels", set(found) == wanted and len(set(found.values())) == 1, says)


def report_metadata(rows: Sequence[EvaluationRow]) -> Metadata:
    """The accuracies as numbers, the table, and bars with intervals."""
    order = {label: position for position, label in enumerate(ORDER)}
    shown = [row for row in rows if row.domain in ("all", "common", "scarce")]
    shown.sort(key=lambda row: (row.domain, order[row.label]))
    bars: dict[str, dict[str, tuple[float, float, float]]] = {}
    for row in shown:
        mean, low, high = row.accuracy.mean, row.accuracy.low, row.accuracy.high
        if mean is not None and low is not None and high is not None:
            bars.setdefault(row.domain, {})[row.label] = (mean, low, high)
    accuracies = {f"accuracy, {row.label}, {row.domain}": row.accuracy.mean for row in shown}
    return {
        **accuracies,
        "plot": dg.MetadataValue.md(interval_bars("Accuracy on held-out tasks, 95 % intervals", bars)),
        "table": dg.MetadataValue.md(markdown(HEADER, report_rows(rows))),
    }
