"""How good each policy is on held-out tasks and suites: base, SFT, RL, and SFT with its tool disabled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from data_contracts.manifests import EvaluationRow, RunInput, RunKind
from data_contracts.overlaps import Overlap
from data_contracts.scores import ScoredAttempt
from pipelines.defs.base import base_checkpoint
from pipelines.defs.exams import Exam, exams, overlaps_with_training
from pipelines.defs.outcome import Check, Metadata, Result, check_specs, contract_check, outputs_of, released
from pipelines.defs.rl import rl_checkpoint
from pipelines.defs.sft import sft_checkpoint
from pipelines.defs.tasks import tasks
from pipelines.launchers.local import LocalLauncher
from pipelines.recipe import Recipe
from pipelines.resources import DatasetStore, RecipeResource
from pipelines.store import Store
from pipelines.viewer.plots import interval_bars
from pipelines.viewer.tables import HEADER, in_order, markdown, report_rows, suite_table
from rollout.evaluation.comparison import compare
from rollout.evaluation.report import Contamination, report
from rollout.evaluation.tables import comparison_table
from rollout.recipe import EvaluateRecipe


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
PAIRS = (("base", "sft"), ("sft", "rl"), ("sft, tool disabled", "sft"))
"""Candidates that are compared task by task."""


@dataclass(frozen=True)
class Examined:
    """One candidate in one exam."""

    candidate: Candidate
    exam: Exam
    recipe: EvaluateRecipe
    scores: RunInput


@dg.asset(
    deps=[tasks, base_checkpoint, sft_checkpoint, rl_checkpoint],
    check_specs=check_specs("evaluation_report", "contract", "all_labels"),
    pool="gpu",
)
def evaluation_report(
    context: dg.AssetExecutionContext, store: DatasetStore, recipe: RecipeResource, launcher: LocalLauncher
) -> Result:
    """Scores with 95 % intervals, tool calls and tokens of every candidate, on all items and on those that the training
    data does not hold; per family of our own tasks, and per suite."""
    data, plan = store.open(), recipe.load()
    taken = exams(data, plan)
    found = [examine(context, data, plan, launcher, one, exam) for exam in taken for one in CANDIDATES]
    overlaps = overlaps_with_training(data, plan, taken)
    scores = {(one.exam.suite, one.candidate.label): data.read(one.scores, ScoredAttempt) for one in found}
    rows = rows_of(found, scores, Contamination.from_overlaps(overlaps))
    sources = [one.scores for one in found]
    entry = data.write("evaluation_report", rows, EvaluationRow, sources)
    shared = data.write("evaluation_overlaps", overlaps, Overlap, sources)
    checks = [contract_check(data, [(entry, EvaluationRow), (shared, Overlap)]), labels_check(rows)]
    outputs = {"evaluation_report": entry, "evaluation_overlaps": shared}
    return released(data, outputs, checks, {**report_metadata(rows, taken[0].suite), **paired_metadata(scores)})


def examine(
    context: dg.AssetExecutionContext,
    store: Store,
    recipe: Recipe,
    launcher: LocalLauncher,
    candidate: Candidate,
    exam: Exam,
) -> Examined:
    """The scores of one candidate in one exam, from a process of its own."""
    stage = recipe.for_process(
        "evaluation",
        label=candidate.label,
        suite=exam.suite,
        suite_revision=exam.revision,
        tool_variant=candidate.tool_variant,
        groups=exam.groups,
        redact=exam.redact,
    )
    with exam.stored(store) as held_out:
        spec = store.spec(RunKind.EVALUATE, stage, [held_out, store.input("checkpoint", candidate.asset)])
        context.log.info(f"evaluating {candidate.label} on {exam.suite}")
        scores = outputs_of(spec, launcher.run(context, spec, "evaluation"))["scores"]
    return Examined(candidate, exam, EvaluateRecipe.model_validate_json(stage.canonical), scores)


def rows_of(
    found: Sequence[Examined],
    scores: Mapping[tuple[str, str], Sequence[ScoredAttempt]],
    contamination: Contamination,
) -> list[EvaluationRow]:
    """The rows of all candidates in all exams."""
    return [
        row for one in found for row in report(scores[one.exam.suite, one.candidate.label], one.recipe, contamination)
    ]


def labels_check(rows: Sequence[EvaluationRow]) -> Check:
    """Every candidate has a row for all tasks of every suite, on the same number of tasks."""
    wanted, passed, says = {candidate.label for candidate in CANDIDATES}, True, []
    for suite in dict.fromkeys(row.suite for row in rows):
        found = {row.label: row.num_tasks for row in rows if (row.suite, row.domain) == (suite, "all")}
        passed = passed and set(found) == wanted and len(set(found.values())) == 1
        says.append(f"{suite}: " + ", ".join(f"{label}: {number} tasks" for label, number in found.items()))
    return Check("all_labels", passed and bool(rows), "; ".join(says))


def report_metadata(rows: Sequence[EvaluationRow], own_suite: str) -> Metadata:
    """The accuracies as numbers, the tables, and bars with intervals: our own groups of tasks first, then suites."""
    own = [row for row in rows if row.suite == own_suite]
    groups = {name: [row for row in own if row.domain == name] for name in ("all", "common", "scarce")}
    for row in rows:
        if row.suite != own_suite and row.domain == "all":
            groups.setdefault(row.suite, []).append(row)
    accuracies = {
        f"accuracy, {row.label}, {name}": row.accuracy.mean for name, group in groups.items() for row in group
    }
    table = markdown(HEADER, report_rows(own))
    return {
        **accuracies,
        "plot": dg.MetadataValue.md(interval_bars("Accuracy on held-out tasks, 95 % intervals", _bars(groups))),
        "table": dg.MetadataValue.md(f"{table}\n\n{markdown(*suite_table(rows))}"),
    }


def _bars(groups: Mapping[str, Sequence[EvaluationRow]]) -> dict[str, dict[str, tuple[float, float, float]]]:
    bars: dict[str, dict[str, tuple[float, float, float]]] = {}
    for name, group in groups.items():
        by_label = {row.label: row.accuracy for row in group}
        for label in in_order(by_label):
            mean, low, high = by_label[label].mean, by_label[label].low, by_label[label].high
            if mean is not None and low is not None and high is not None:
                bars.setdefault(name, {})[label] = (mean, low, high)
    return bars


def paired_metadata(scores: Mapping[tuple[str, str], Sequence[ScoredAttempt]]) -> Metadata:
    """Candidates beside each other, task by task, per suite."""
    parts = []
    for suite in dict.fromkeys(suite for suite, _ in scores):
        for first, second in PAIRS:
            table = comparison_table((first, second), compare(scores[suite, first], scores[suite, second]))
            parts.append(f"**{suite}: {table.title}**\n\n{markdown(table.header, table.lines)}")
    return {"paired": dg.MetadataValue.md("\n\n".join(parts))}
