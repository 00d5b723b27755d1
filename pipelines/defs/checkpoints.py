"""What base, SFT and RL checkpoints have in common: they are checked, released, and registered as students."""

import json
from pathlib import Path

import dagster as dg

from data_contracts.manifests import RunInput, RunResult, RunSpec
from pipelines.defs.outcome import Metadata, Result, checkpoint_check, metrics_of, outputs_of, released
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


def training_plot(spec: RunSpec, title: str, keys: dict[str, str]) -> Metadata:
    """Curves over steps of a training run: metric key → name in the legend. The first has an axis of its own."""
    lines = read_metrics(Path(spec.output))
    series = {
        name: [
            (step, value)
            for line in lines
            if (step := line["step"]) is not None and (value := line.get(key)) is not None
        ]
        for key, name in keys.items()
    }
    shown = {name: points for name, points in series.items() if points}
    return {"plot": dg.MetadataValue.md(curves(title, "step", shown))} if shown else {}
