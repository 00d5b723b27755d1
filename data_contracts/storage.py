"""Records to Parquet and back: atomic, content-addressed, checked on every read.

A dataset is a folder `<root>/<name>/<content hash>` with Parquet parts and, written last, `manifest.json`.
Equal rows and parents give equal bytes and an equal hash, whatever the order in which the rows arrived.
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, groupby, islice
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.arrow_schema import CONTRACT_KEY, arrow_schema, schema_hash
from data_contracts.manifests import DatasetManifest, FileEntry, Parent
from data_contracts.record import Record

MANIFEST = "manifest.json"
SCRATCH_PREFIX = ".writing-"
"""Name of a folder that is not finished; one stays where its writer was killed."""
ROWS_PER_PART = 50_000
ROWS_PER_GROUP = 5_000
"""Rows of a row group: what a reader of shards decodes at a time."""
ROWS_PER_RUN = 2_000
"""Records in memory while a dataset is sorted."""
RUN_BATCH_ROWS = 16
"""Rows of a sorted run that are read at a time."""

R = TypeVar("R", bound=Record)


class DatasetError(ValueError):
    """Stored data that is not what its reader was promised."""


class NoSpaceError(OSError):
    """The disk has no room."""


@contextmanager
def room(folder: Path) -> Iterator[None]:
    """Turn a full disk into one clear message."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoSpaceError(
            error.errno,
            f"no room left under {folder}: {_free_bytes(folder):,} bytes are free; free some space or choose another "
            "data folder (TOOLPATH_DATA), then run again: what was complete is kept",
        ) from error


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


@contextmanager
def scratch_folder(base: Path) -> Iterator[Path]:
    """A temporary folder inside `base`, removed at the end unless it was moved to its place by `settle`."""
    with room(base):
        base.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=base))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def settle(scratch: Path, target: Path) -> None:
    """Move a finished scratch folder to its place in one step; content that is there already wins."""
    if not target.exists():
        scratch.chmod(0o755)
        os.replace(scratch, target)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: it appears whole or not at all."""
    with room(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        finally:
            Path(scratch).unlink(missing_ok=True)


def to_table(rows: Iterable[Record], record: type[Record]) -> pa.Table:
    """Records as an Arrow table of their contract's schema."""
    return pa.Table.from_pylist([row.plain() for row in rows], schema=arrow_schema(record))


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as a Parquet file of one row group."""
    return grouped_bytes([table], table.schema)


def grouped_bytes(tables: Iterable[pa.Table], schema: pa.Schema) -> bytes:
    """Tables as a Parquet file, a row group each. In memory first: pyarrow aborts the whole process when a disk fills up
    under it."""
    sink = pa.BufferOutputStream()
    options = {"compression": "zstd", "write_page_index": True, "use_content_defined_chunking": True}
    with pq.ParquetWriter(sink, schema, **options) as writer:
        for table in tables:
            writer.write_table(table.combine_chunks())
    return bytes(sink.getvalue().to_pybytes())


def sorted_tables(rows: Iterable[R], record: type[R], scratch: Path) -> Iterator[pa.Table]:
    """The rows in order of `row_key`, as tables. All are read at once; more than ROWS_PER_RUN lie in `scratch` until the
    tables are taken, as sorted runs."""
    remaining, keys = iter(rows), list[str]()
    while batch := sorted(islice(remaining, ROWS_PER_RUN), key=row_key):
        table = to_table(batch, record)
        if not keys and len(batch) < ROWS_PER_RUN:
            return iter([table])
        _write_run(_run(scratch, len(keys) // ROWS_PER_RUN), table)
        keys += map(row_key, batch)
    return _merged(scratch, keys)


def _run(scratch: Path, number: int) -> Path:
    return scratch / f"run-{number:05d}.arrow"


def _write_run(path: Path, table: pa.Table) -> None:
    with room(path.parent), pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=RUN_BATCH_ROWS)


def _merged(scratch: Path, keys: list[str]) -> Iterator[pa.Table]:
    """Rows of all runs by key. Each run is sorted, so a table of the result takes the next few rows of each."""
    order = sorted(range(len(keys)), key=keys.__getitem__)
    for start in range(0, len(order), ROWS_PER_GROUP):
        wanted = order[start : start + ROWS_PER_GROUP]
        by_run = sorted(wanted)
        runs = [list(places) for _, places in groupby(by_run, lambda place: place // ROWS_PER_RUN)]
        table = pa.concat_tables(_rows_of_run(_run(scratch, p[0] // ROWS_PER_RUN), p[0], p[-1]) for p in runs)
        at = {place: row for row, place in enumerate(by_run)}
        yield table.take([at[place] for place in wanted])


def _rows_of_run(path: Path, first: int, last: int) -> pa.Table:
    """Rows `first` to `last` of all, which lie in this run."""
    start, stop = first % ROWS_PER_RUN, last % ROWS_PER_RUN + 1
    batches = range(start // RUN_BATCH_ROWS, -(-stop // RUN_BATCH_ROWS))
    with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as reader:
        table = pa.Table.from_batches([reader.get_batch(number) for number in batches])
    return table.slice(start - batches[0] * RUN_BATCH_ROWS, stop - start)


def write_rows(path: Path, rows: Iterable[Record], record: type[Record]) -> None:
    """Write one Parquet file atomically (a shard of a stage that is still running)."""
    write_bytes(path, parquet_bytes(to_table(rows, record)))


def read_rows(path: Path, record: type[R]) -> list[R]:
    """Read one Parquet file of `record`. Raises DatasetError if it holds another contract."""
    return _records(_read_part(path, record), record)


def _read_part(path: Path, record: type[Record]) -> pa.Table:
    table = pq.read_table(path)
    found = (table.schema.metadata or {}).get(CONTRACT_KEY, b"none").decode()
    if found != record.contract_id():
        raise DatasetError(
            f"{path} holds contract {found}, but {record.contract_id()} is needed: materialise it again with this version"
        )
    return table.cast(arrow_schema(record))


def _records(table: pa.Table, record: type[R]) -> list[R]:
    return [record.model_validate(row) for row in table.to_pylist()]


def write_dataset(
    root: Path, name: str, rows: Iterable[R], record: type[R], parents: tuple[Parent, ...] = ()
) -> tuple[Path, DatasetManifest]:
    """Write rows as a content-addressed dataset under `root/name`; returns its folder and manifest.

    Rows are sorted by `row_key`, on disk where they are many, so that order of arrival does not matter.
    """
    with scratch_folder(Path(root) / name) as scratch:
        return write_tables(root, name, sorted_tables(rows, record, scratch), record, parents)


def write_tables(
    root: Path, name: str, tables: Iterable[pa.Table], record: type[Record], parents: tuple[Parent, ...] = ()
) -> tuple[Path, DatasetManifest]:
    """`write_dataset` of rows that come as tables, sorted already. Holds a row group and a compressed part in memory.

    Raises ValueError for rows out of order.
    """
    with scratch_folder(Path(root) / name) as scratch:
        groups = row_groups(in_order(tables), ROWS_PER_GROUP)
        first = next(groups, arrow_schema(record).empty_table())
        files: list[FileEntry] = []
        while first is not None:
            path = scratch / f"part-{len(files):05d}.parquet"
            files.append(write_part(path, chain([first], islice(groups, ROWS_PER_PART // ROWS_PER_GROUP - 1)), record))
            first = next(groups, None)
        return finish_dataset(root, name, scratch, files, record, parents)


def write_part(path: Path, groups: Iterable[pa.Table], record: type[Record]) -> FileEntry:
    """Write one part of a dataset, a row group per table."""
    write_bytes(path, grouped_bytes(groups, arrow_schema(record)))
    return file_entry(path.parent, path, pq.read_metadata(path).num_rows)


def finish_dataset(
    root: Path,
    name: str,
    scratch: Path,
    files: Sequence[FileEntry],
    record: type[Record],
    parents: tuple[Parent, ...] = (),
) -> tuple[Path, DatasetManifest]:
    """Write the manifest beside the parts in `scratch`, and move all to their place."""
    manifest = DatasetManifest.create(name, record.contract_id(), schema_hash(record), tuple(files), parents)
    write_bytes(scratch / MANIFEST, manifest.canonical().encode())
    target = Path(root) / name / manifest.content_hash
    settle(scratch, target)
    return target, manifest


def row_key(row: Record) -> str:
    """What rows are sorted by: their `key` where they have one, else their canonical JSON."""
    return getattr(row, "key", "") + "\x00" + ("" if hasattr(row, "key") else row.canonical())


def in_order(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The tables, unless a key is smaller than the one before."""
    before = ""
    for table in tables:
        keys = table["key"].combine_chunks() if "key" in table.schema.names else pa.array([], pa.string())
        if len(keys) and (keys[0].as_py() < before or pc.any(pc.greater(keys[:-1], keys[1:])).as_py()):
            raise ValueError("rows come out of order of their keys: sort them, or use write_dataset, which does")
        before = keys[-1].as_py() if len(keys) else before
        yield table


def row_groups(tables: Iterable[pa.Table], num_rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of `num_rows` rows each; the last may have fewer, none is empty."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= num_rows:
            whole = pa.concat_tables(waiting)
            ends = range(num_rows, len(whole) + 1, num_rows)
            yield from (whole.slice(end - num_rows, num_rows) for end in ends)
            waiting = [whole.slice(len(whole) - len(whole) % num_rows)]
    left = pa.concat_tables(waiting) if waiting else None
    if left:
        yield left


def file_entry(folder: Path, path: Path, num_rows: int | None = None) -> FileEntry:
    """Name, hash and size of a file of a manifest."""
    return FileEntry(
        path=path.relative_to(folder).as_posix(),
        sha256=_sha256_of(path),
        num_bytes=path.stat().st_size,
        num_rows=num_rows,
    )


def _sha256_of(path: Path) -> str:
    """Of a file that may be larger than memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_files(folder: Path, files: Iterable[FileEntry]) -> None:
    """Compare every file of a manifest with its hash. Raises DatasetError for the first that differs or is missing."""
    for entry in files:
        path = folder / entry.path
        if not path.is_file():
            raise DatasetError(f"{path} is missing: materialise the dataset again, or copy the whole folder")
        found = _sha256_of(path)
        if found != entry.sha256:
            raise DatasetError(
                f"{path} has sha256 {found[:12]}…, but its manifest says {entry.sha256[:12]}…: the file was changed "
                "after it was written; delete the folder and materialise it again"
            )


def read_manifest(folder: Path, expected_hash: str | None = None) -> DatasetManifest:
    """Read a dataset's manifest; `expected_hash` is the content hash that the reader was given."""
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise DatasetError(f"{folder} has no {MANIFEST}: it is no dataset, or was never finished; materialise it again")
    manifest = DatasetManifest.from_json(path.read_text())
    rebuilt = DatasetManifest.create(
        manifest.name, manifest.record_contract, manifest.schema_hash, manifest.files, manifest.parents
    )
    wanted = expected_hash or manifest.content_hash
    if not rebuilt.content_hash == manifest.content_hash == wanted:
        raise DatasetError(
            f"{folder} has content hash {rebuilt.content_hash}, but {wanted} is expected: "
            "the data changed since it was asked for; materialise this step again on the new data"
        )
    return manifest


def checked_manifest(folder: Path, record: type[Record], expected_hash: str | None = None) -> DatasetManifest:
    """A dataset's manifest, after checking contract, manifest hash and every file's hash (law 7)."""
    manifest = read_manifest(folder, expected_hash)
    if (manifest.record_contract, manifest.schema_hash) != (record.contract_id(), schema_hash(record)):
        raise DatasetError(
            f"{folder} holds {manifest.record_contract} (schema {manifest.schema_hash[:8]}), but "
            f"{record.contract_id()} (schema {schema_hash(record)[:8]}) is needed: materialise it again with this version"
        )
    verify_files(folder, manifest.files)
    return manifest


def read_parts(folder: Path, record: type[Record], expected_hash: str | None = None) -> Iterator[pa.Table]:
    """The parts of a dataset one after the other, with the checks of `checked_manifest`."""
    folder = Path(folder)
    for entry in checked_manifest(folder, record, expected_hash).files:
        yield _read_part(folder / entry.path, record)


def read_table(folder: Path, record: type[Record], expected_hash: str | None = None) -> pa.Table:
    """Read a dataset as one Arrow table, with the checks of `checked_manifest`."""
    return pa.concat_tables(read_parts(folder, record, expected_hash))


def read_dataset(folder: Path, record: type[R], expected_hash: str | None = None) -> list[R]:
    """Read a dataset as records, with the same checks as `read_table`."""
    return _records(read_table(folder, record, expected_hash), record)
