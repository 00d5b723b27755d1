"""The last pass: decisions, and the attempts that were kept, as datasets of the same bytes as if memory had held all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.arrow_schema import arrow_schema
from data_contracts.attempts import Attempt
from data_contracts.decisions import Decision
from data_contracts.manifests import DatasetManifest, FileEntry, Parent
from data_contracts.storage import (
    ROWS_PER_GROUP,
    ROWS_PER_PART,
    file_entry,
    finish_dataset,
    row_groups,
    scratch_folder,
    write_part,
)
from pipelines.curation.arrays import Positions
from pipelines.curation.measuring import shard_facts
from pipelines.curation.recipes import SftDataRecipe
from pipelines.curation.selection import decide
from pipelines.curation.shards import Shard, whole_rows
from pipelines.curation.workers import Workers


def decision_tables(
    shards: Sequence[Shard], findings: pl.DataFrame, recipe: SftDataRecipe, folder: Path
) -> Iterator[pa.Table]:
    """The decisions on the attempts of each shard, by key. findings: of the rules on sets, by position."""
    rows = findings["row"].to_numpy()
    for shard in shards:
        start, stop = np.searchsorted(rows, [shard.first, shard.stop])
        own = findings[start:stop].with_columns(pl.col("row") - shard.first)
        decided = decide(shard_facts(shard, folder), own, recipe)
        yield decided.to_arrow().cast(arrow_schema(Decision))


@dataclass(frozen=True)
class _Part:
    """The rows of one part: the shards that they lie in, and their positions in the dataset."""

    path: str
    shards: tuple[Shard, ...]
    rows_R: Positions


def write_kept(
    root: Path,
    name: str,
    shards: Sequence[Shard],
    kept_R: Positions,
    parents: tuple[Parent, ...],
    folder: Path,
    pool: Workers,
) -> tuple[Path, DatasetManifest]:
    """Write the attempts at these positions as a dataset, a part a job. Parts lie in `folder`, where a run that was killed
    finds them again, and are linked to their place."""
    jobs = [
        _part(folder / f"part-{number:05d}.parquet", shards, kept_R[start : start + ROWS_PER_PART])
        for number, start in enumerate(range(0, max(len(kept_R), 1), ROWS_PER_PART))
    ]
    for _ in pool.map("write", _write_part, [job for job in jobs if not Path(job.path).exists()]):
        pass
    with scratch_folder(root / name) as scratch:
        files = [_linked(Path(job.path), scratch) for job in jobs]
        return finish_dataset(root, name, scratch, files, Attempt, parents)


def _linked(part: Path, folder: Path) -> FileEntry:
    path = folder / part.name
    path.hardlink_to(part)
    return file_entry(folder, path, pq.read_metadata(path).num_rows)


def _part(path: Path, shards: Sequence[Shard], rows_R: Positions) -> _Part:
    asked = [s for s in shards if len(rows_R) and s.first <= rows_R[-1] and s.stop > rows_R[0]]
    return _Part(str(path), tuple(asked), rows_R)


def _write_part(part: _Part) -> None:
    groups = row_groups(_rows(part), ROWS_PER_GROUP)
    write_part(Path(part.path), groups if part.shards else [arrow_schema(Attempt).empty_table()], Attempt)


def _rows(part: _Part) -> Iterator[pa.Table]:
    for shard in part.shards:
        start, stop = np.searchsorted(part.rows_R, [shard.first, shard.stop])
        wanted = part.rows_R[start:stop] - shard.first
        first = 0
        for table in whole_rows(shard, Attempt):
            here = wanted[(wanted >= first) & (wanted < first + len(table))] - first
            first += len(table)
            yield table.take(pa.array(here))
