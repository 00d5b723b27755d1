"""The dataset as the hub takes it: a folder with tables, card and manifest. A dry run; nothing is sent."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import polars as pl
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from data_contracts.attempts import Attempt
from data_contracts.manifests import DatasetManifest, RunInput
from data_contracts.storage import DatasetError, verify_files
from pipelines.defs.base import base_checkpoint, sft_sources
from pipelines.defs.evaluation import evaluation_report
from pipelines.defs.outcome import Check, Metadata, Result, check_specs, funnel_of, released
from pipelines.defs.rl_data import rl_dataset, start_checkpoint
from pipelines.defs.sft_data import sft_dataset
from pipelines.publishing.card import FUNNEL, Provenance
from pipelines.publishing.folder import git_commit, rows_of_tables, write_folder
from pipelines.publishing.tables import Inputs, all_decisions, published_tables, shards
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
    tables, decisions, provenance = published_tables(inputs), all_decisions(inputs, FUNNEL), provenance_of(plan, inputs)
    folder, manifest = write_folder(data.root / "published", tables, provenance, decisions, plan.canonical())
    rows = rows_of_tables(manifest)
    checks = [files_check(folder, manifest), split_check(inputs, rows), opens_check(folder, rows)]
    reasons = decisions.group_by("reason").agg(pl.col("num_rows").sum())
    metadata: Metadata = {
        **{f"rows, {t.name}": sum(rows[t.name, split] for split in t.splits) for t in tables},
        "megabytes": sum(file.num_bytes for file in manifest.files) / 1e6,
        "card": dg.MetadataValue.md((folder / "README.md").read_text().split("---", 2)[2]),
        "plot": dg.MetadataValue.md(counts("All filters", funnel_of(dict(reasons.iter_rows())))),
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


def provenance_of(recipe: Recipe, inputs: Inputs) -> Provenance:
    """What the card says about where the rows come from."""
    table = recipe.parse("publish", PublishTable)
    of_rows = [columns(inputs[name], "source", "licence") for name in ("attempts", "tasks")]
    return Provenance(
        name=table.name,
        licence=table.licence,
        recipe=recipe.name,
        git_commit=git_commit(PROJECT),
        teachers=policies(inputs, "attempts"),
        students=policies(inputs, "student_attempts"),
        sources=sorted({(source, licence) for rows in of_rows for source, licence in rows}),
        inputs={name: entry.content_hash for name, entry in inputs.items()},
    )


def columns(entry: RunInput, *names: str | pl.Expr) -> list[tuple[str, ...]]:
    """The values that some columns of a dataset have, each once."""
    return pl.scan_parquet(f"{entry.path}/*.parquet").select(names).unique().collect().rows()


def policies(inputs: Inputs, name: str) -> list[str]:
    """Who made the attempts, where there are any."""
    fields = [pl.col("policy").struct.field(field) for field in ("name", "revision")]
    return sorted("@".join(one) for one in columns(inputs[name], *fields)) if name in inputs else []


def files_check(folder: Path, manifest: DatasetManifest) -> Check:
    """Every file has the hash that the manifest states."""
    try:
        verify_files(folder, manifest.files)
    except DatasetError as error:
        return Check("contract", False, str(error))
    return Check("contract", True, f"{len(manifest.files)} files as the manifest states")


def split_check(inputs: Inputs, rows: Mapping[tuple[str, str], int]) -> Check:
    """Every attempt is either a published trajectory or among the dropped ones."""
    total = sum(shard.num_rows for shard in shards(inputs["attempts"], Attempt))
    published, dropped = rows["trajectories", "train"], rows["dropped", "train"]
    says = f"in {total:,} = trajectories {published:,} + dropped {dropped:,}"
    return Check("accounted", total == published + dropped, says)


def opens_check(folder: Path, rows: Mapping[tuple[str, str], int]) -> Check:
    """Every table opens with as many rows as were written."""
    found = {(name, split): read_rows(folder / "data" / name, split) for name, split in rows}
    return Check("opens", found == rows, f"{len(rows)} tables, {sum(found.values()):,} rows")


def read_rows(folder: Path, split: str) -> int:
    """Number of the rows of a split, each of which is read."""
    paths = folder.glob(f"{split}-*.parquet")
    return sum(batch.num_rows for path in paths for batch in pq.ParquetFile(path).iter_batches())
