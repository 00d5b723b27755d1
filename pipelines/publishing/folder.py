"""Writes the hub-ready folder, atomically, under the hash of what is in it."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.decisions import Decision
from data_contracts.ids import content_hash
from data_contracts.manifests import DatasetManifest, Parent
from data_contracts.storage import MANIFEST, file_entry, parquet_bytes, scratch_folder, settle
from pipelines.publishing.card import Config, Provenance, card

CONTRACT = "hub_folder@1.0"


@dataclass(frozen=True)
class Table:
    """A config to publish."""

    name: str
    description: str
    splits: Mapping[str, pa.Table]


def write_folder(
    root: Path, tables: Sequence[Table], provenance: Provenance, decisions: Sequence[Decision], recipe: str
) -> tuple[Path, DatasetManifest]:
    """Write `<root>/<hash>` with tables, card, recipe.json and manifest; the first table is the default config."""
    with scratch_folder(root) as scratch:
        configs = [_write_table(scratch, table) for table in tables if any(t.num_rows for t in table.splits.values())]
        (scratch / "README.md").write_text(card(provenance, configs, decisions))
        (scratch / "recipe.json").write_text(recipe)
        manifest = _manifest(scratch, provenance, configs)
        (scratch / MANIFEST).write_text(manifest.canonical())
        settle(scratch, root / manifest.content_hash)
    return root / manifest.content_hash, manifest


def _write_table(folder: Path, table: Table) -> Config:
    paths = {}
    for split, rows in table.splits.items():
        if rows.num_rows:
            path = folder / "data" / table.name / f"{split}-00000.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(parquet_bytes(rows))
            paths[split] = path.relative_to(folder).as_posix()
    return Config(table.name, table.description, paths, sum(rows.num_rows for rows in table.splits.values()))


def _manifest(folder: Path, provenance: Provenance, configs: Sequence[Config]) -> DatasetManifest:
    rows = {path: pq.read_metadata(folder / path).num_rows for config in configs for path in config.splits.values()}
    files = tuple(
        file_entry(folder, path, rows.get(path.relative_to(folder).as_posix()))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )
    parents = tuple(Parent(name=name, content_hash=digest) for name, digest in provenance.inputs.items())
    return DatasetManifest.create(provenance.name, CONTRACT, content_hash(sorted(rows)), files, parents)


def git_commit(project: Path) -> str:
    """The commit of the code, with `+changes` where files differ from it; `unknown` outside a git checkout."""
    command = ["git", "-C", str(project), "describe", "--always", "--dirty=+changes", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:  # no git
        return "unknown"
    return done.stdout.strip() or "unknown"
