"""Writes the hub-ready folder, atomically, under the hash of what is in it."""

import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path, PurePosixPath

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.ids import content_hash
from data_contracts.manifests import DatasetManifest, Parent
from data_contracts.storage import (
    MANIFEST,
    ROWS_PER_GROUP,
    ROWS_PER_PART,
    file_entry,
    grouped_bytes,
    row_groups,
    scratch_folder,
    settle,
    write_bytes,
)
from pipelines.publishing.card import Config, Provenance, card

CONTRACT = "hub_folder@1.0"


@dataclass(frozen=True)
class Table:
    """A config to publish."""

    name: str
    description: str
    splits: Mapping[str, Iterable[pa.Table]]
    """Rows, taken once."""


def write_folder(
    root: Path, tables: Sequence[Table], provenance: Provenance, funnel: pl.DataFrame, recipe: str
) -> tuple[Path, DatasetManifest]:
    """Write `<root>/<hash>` with tables, card, recipe.json and manifest; the first table with rows is the default config.

    Memory holds one compressed part of a table, and a row group. funnel: counts of decisions, for the card.
    """
    with scratch_folder(root) as scratch:
        configs = [config for table in tables if (config := _write_table(scratch, table)).num_rows]
        (scratch / "README.md").write_text(card(provenance, configs, funnel))
        (scratch / "recipe.json").write_text(recipe)
        manifest = _manifest(scratch, provenance)
        (scratch / MANIFEST).write_text(manifest.canonical())
        settle(scratch, root / manifest.content_hash)
    return root / manifest.content_hash, manifest


def _write_table(folder: Path, table: Table) -> Config:
    paths, num_rows = dict[str, str](), 0
    for split, tables in table.splits.items():
        written = _write_split(folder / "data" / table.name, split, tables)
        if written:
            paths[split] = f"data/{table.name}/{split}-*.parquet"
        num_rows += written
    return Config(table.name, table.description, paths, num_rows)


def _write_split(folder: Path, split: str, tables: Iterable[pa.Table]) -> int:
    """Write the rows as parts; returns how many there are."""
    groups, number, num_rows = row_groups(tables, ROWS_PER_GROUP), 0, 0
    while first := next(groups, None):
        path = folder / f"{split}-{number:05d}.parquet"
        part = chain([first], islice(groups, ROWS_PER_PART // ROWS_PER_GROUP - 1))
        write_bytes(path, grouped_bytes(part, first.schema))
        number, num_rows = number + 1, num_rows + pq.read_metadata(path).num_rows
    return num_rows


def _manifest(folder: Path, provenance: Provenance) -> DatasetManifest:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = tuple(file_entry(folder, path, _num_rows(path)) for path in paths)
    tables = [file.path for file in files if file.num_rows is not None]
    parents = tuple(Parent(name=name, content_hash=digest) for name, digest in provenance.inputs.items())
    return DatasetManifest.create(provenance.name, CONTRACT, content_hash(tables), files, parents)


def _num_rows(path: Path) -> int | None:
    return pq.read_metadata(path).num_rows if path.suffix == ".parquet" else None


def rows_of_tables(manifest: DatasetManifest) -> Counter[tuple[str, str]]:
    """Number of rows by table and split."""
    found = Counter[tuple[str, str]]()
    for file in manifest.files:
        if file.num_rows is not None:
            path = PurePosixPath(file.path)
            found[path.parent.name, path.stem.rpartition("-")[0]] += file.num_rows
    return found


def git_commit(project: Path) -> str:
    """The commit of the code, with `+changes` where files differ from it; `unknown` outside a git checkout."""
    command = ["git", "-C", str(project), "describe", "--always", "--dirty=+changes", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:  # no git
        return "unknown"
    return done.stdout.strip() or "unknown"
