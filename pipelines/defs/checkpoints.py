"""What base, SFT and RL checkpoints have in common: they are checked, released, and registered as students."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster as dg

from data_contracts.manifests import RunInput, RunResult, RunSpec
from pipelines.defs.outcome import Metadata, Result, checkpoint_check, metrics_of, outputs_of, released
from pipelines.launchers.local import LocalLauncher
from pipelines.store import Store, checkpoint_manifest
from pipelines.viewer.plots import curves

students = dg.DynamicPartitionsDefinition(name="students")
"""One partition per student revision, e.g. `sft-3f2a9c1b22aa`."""


def release_checkpoint(
    context: dg.AssetExecutionContext, store: Store, asset: str, spec: RunSpec, result: RunResult, plot: Metadata
) -> Result:
    """Release the checkpoint that a process wrote as `asset`, and register it as a student."""
    entry = outputs_of(spec, result)["checkpoint"]
    check = checkpoint_check(entry)
    metadata: Metadata = {**metrics_of(result), **plot}
    if check.passed:
        metadata = {"student": register(context, store, entry), **metadata}
    return released(store, {asset: entry}, [check], metadata)


def register(context: dg.AssetExecutionContext, store: Store, entry: RunInput) -> str:
    """Make a checkpoint known as a student; returns its revision."""
    revision = checkpoint_manifest(entry).revision
    store.release("student", entry, revision)
    context.instance.add_dynamic_partitions("students", [revision])
    return revision


def read_metrics(folder: Path) -> list[dict[str, float | None]]:
    """The lines of a training run's metrics.jsonl; none where it has none."""
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


Panels = Mapping[str, Mapping[str, str]]
"""Name of a picture → metric key → name in its legend. The first key of a picture has an axis of its own."""


def training_plots(spec: RunSpec, title: str, panels: Panels) -> Metadata:
    """Curves over the steps that a training run has logged so far, a picture a panel; none for what was not measured."""
    lines = read_metrics(Path(spec.output))
    drawn = {name: _curves(lines, title, keys) for name, keys in panels.items()}
    return {name: dg.MetadataValue.md(picture) for name, picture in drawn.items() if picture is not None}


def _curves(lines: Sequence[Mapping[str, float | None]], title: str, keys: Mapping[str, str]) -> str | None:
    series = {
        name: [
            (step, value)
            for line in lines
            if (step := line["step"]) is not None and (value := line.get(key)) is not None
        ]
        for key, name in keys.items()
    }
    shown = {name: points for name, points in series.items() if points}
    return curves(title, "step", shown) if shown else None


def train(
    context: dg.AssetExecutionContext, launcher: LocalLauncher, spec: RunSpec, stage: str, panels: Panels
) -> tuple[RunResult, Metadata]:
    """Run a training; returns its result and its curves. A run that fails, or that an alarm stopped, raises
    dagster.Failure with its curves so far: they say why."""
    try:
        result = launcher.run(context, spec, stage)
    except dg.Failure as failure:
        seen = {**failure.metadata, **training_plots(spec, f"{stage.upper()} until it failed", panels)}
        raise dg.Failure(failure.description, metadata=seen, allow_retries=False) from failure
    return result, training_plots(spec, stage.upper(), panels)
