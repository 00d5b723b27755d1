"""The dataset as the hub takes it: a folder with tables, card and manifest. A dry run; nothing is sent."""

from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from data_contracts.attempts import Attempt
from data_contracts.manifests import DatasetManifest, RunInput
from data_contracts.storage import DatasetError, verify_files
from data_contracts.tasks import Task
from pipelines.defs.base import base_checkpoint, sft_sources
from pipelines.defs.evaluation import evaluation_report
from pipelines.defs.outcome import Check, Result, check_specs, reason_counts, released
from pipelines.defs.rl_data import rl_dataset, start_checkpoint
from pipelines.defs.sft_data import sft_dataset
from pipelines.publishing.card import Provenance
from pipelines.publishing.folder import Table, git_commit, write_folder
from pipelines.publishing.tables import Inputs, all_decisions, published_tables
from pipelines.recipe import Recipe
from pipelines.resources import DatasetStore, RecipeResource
from pipelines.store import PROJECT, Store, checkpoint_manifest
from pipelines.viewer.plots import counts


class PublishTable(BaseModel):
    """The recipe table [publish]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    licence: str
    """SPDX id of the dataset as a whole."""


@dg.asset(
    deps=[sft_dataset, rl_dataset, base_checkpoint, evaluation_report],
    check_specs=check_specs("published_dataset", "contract", "accounted", "opens"),
)
def published_dataset(store: DatasetStore, recipe: RecipeResource) -> Result:
    """The hub-ready folder: trajectories, what was dropped and why, token rows, tasks, difficulty, and the card."""
    data, plan = store.open(), recipe.load()
    inputs = published_inputs(data, plan)
    tables, decisions = published_tables(data, inputs), all_decisions(data, inputs)
    provenance = provenance_of(data, plan, inputs)
    folder, manifest = write_folder(data.root / "published", tables, provenance, decisions, plan.canonical())
    checks = [files_check(folder, manifest), split_check(data, inputs, tables), opens_check(folder, tables)]
    metadata = {
        **{f"rows, {table.name}": sum(rows.num_rows for rows in table.splits.values()) for table in tables},
        "megabytes": sum(file.num_bytes for file in manifest.files) / 1e6,
        "card": dg.MetadataValue.md((folder / "README.md").read_text().split("---", 2)[2]),
        "plot": dg.MetadataValue.md(counts("All filters", reason_counts(decisions))),
    }
    entry = RunInput(name="published_dataset", path=str(folder), content_hash=manifest.content_hash)
    return released(data, {"published_dataset": entry}, checks, metadata)


def published_inputs(store: Store, recipe: Recipe) -> Inputs:
    """The released versions that are published; recipes without [rl] end with the SFT dataset."""
    attempts, tasks = sft_sources(store, recipe)
    inputs = {"attempts": attempts, "tasks": tasks}
    inputs |= {asset: store.latest(asset) for asset in ("sft_dataset", "sft_decisions", "sft_overlaps")}
    if "rl" in recipe.tables:
        student = checkpoint_manifest(start_checkpoint(store, recipe)).revision
        inputs |= {asset: store.latest(asset, student) for asset in ("student_attempts", "task_difficulty")}
        inputs |= {
            asset: store.latest(asset) for asset in ("rl_dataset", "rl_decisions", "rl_overlaps", "evaluation_report")
        }
    return inputs


def provenance_of(store: Store, recipe: Recipe, inputs: Inputs) -> Provenance:
    """What the card says about where the rows come from."""
    table = recipe.parse("publish", PublishTable)
    attempts = store.read(inputs["attempts"], Attempt)
    students = store.read(inputs["student_attempts"], Attempt) if "student_attempts" in inputs else []
    tasks = store.read(inputs["tasks"], Task)
    return Provenance(
        name=table.name,
        licence=table.licence,
        recipe=recipe.name,
        git_commit=git_commit(PROJECT),
        teachers=sorted({attempt.policy.id for attempt in attempts}),
        students=sorted({attempt.policy.id for attempt in students}),
        sources=sorted({(a.source, a.licence) for a in attempts} | {(t.source, t.licence) for t in tasks}),
        inputs={name: entry.content_hash for name, entry in inputs.items()},
    )


def files_check(folder: Path, manifest: DatasetManifest) -> Check:
    """Every file has the hash that the manifest states."""
    try:
        verify_files(folder, manifest.files)
    except DatasetError as error:
        return Check("contract", False, str(error))
    return Check("contract", True, f"{len(manifest.files)} files as the manifest states")


def split_check(store: Store, inputs: Inputs, tables: list[Table]) -> Check:
    """Every attempt is either a published trajectory or among the dropped ones."""
    rows = {table.name: table.splits["train"].num_rows for table in tables if "train" in table.splits}
    total = len(store.read(inputs["attempts"], Attempt))
    says = f"in {total:,} = trajectories {rows['trajectories']:,} + dropped {rows['dropped']:,}"
    return Check("accounted", total == rows["trajectories"] + rows["dropped"], says)


def opens_check(folder: Path, tables: list[Table]) -> Check:
    """Every table opens with as many rows as were written."""
    expected = {(table.name, split): rows.num_rows for table in tables for split, rows in table.splits.items()}
    found = {
        (name, split): sum(pq.read_table(path).num_rows for path in (folder / "data" / name).glob(f"{split}-*.parquet"))
        for name, split in expected
    }
    return Check("opens", found == expected, f"{len(expected)} tables, {sum(found.values()):,} rows")
