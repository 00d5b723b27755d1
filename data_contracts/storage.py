"""Records to Parquet and back: atomic, content-addressed, checked on every read.

A dataset is a folder `<root>/<name>/<content hash>` with Parquet parts and, written last, `manifest.json`.
Equal rows and parents give equal bytes and an equal hash, whatever the order in which the rows arrived.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.arrow_schema import CONTRACT_KEY, arrow_schema, schema_hash
from data_contracts.ids import sha256_hex
from data_contracts.manifests import DatasetManifest, FileEntry, Parent
from data_contracts.record import Record

MANIFEST = "manifest.json"
ROWS_PER_PART = 50_000

R = TypeVar("R", bound=Record)


class DatasetError(ValueError):
    """Stored data that is not what its reader was promised."""


class NoSpaceError(OSError):
    """The disk has no room."""


@contextmanager
def _room(folder: Path) -> Iterator[None]:
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
    with _room(base):
        base.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=base))
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
    with _room(path.parent):
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
    """The table as a Parquet file. In memory first: pyarrow aborts the whole process when a disk fills up under it."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_index=True, use_content_defined_chunking=True)
    return bytes(sink.getvalue().to_pybytes())


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

    Rows are sorted by their canonical JSON's key fields, so that order of arrival does not matter.
    """
    ordered = sorted(rows, key=row_key)
    base = Path(root) / name
    with scratch_folder(base) as scratch:
        manifest = _write_parts(scratch, name, ordered, record, parents)
        settle(scratch, base / manifest.content_hash)
    return base / manifest.content_hash, manifest


def row_key(row: Record) -> str:
    """What rows are sorted by: their `key` where they have one, else their canonical JSON."""
    return getattr(row, "key", "") + "\x00" + ("" if hasattr(row, "key") else row.canonical())


def _write_parts(
    folder: Path, name: str, rows: list[R], record: type[R], parents: tuple[Parent, ...]
) -> DatasetManifest:
    files = []
    for part, start in enumerate(range(0, max(len(rows), 1), ROWS_PER_PART)):
        chunk = rows[start : start + ROWS_PER_PART]
        path = folder / f"part-{part:05d}.parquet"
        path.write_bytes(parquet_bytes(to_table(chunk, record)))
        files.append(file_entry(folder, path, len(chunk)))
    manifest = DatasetManifest.create(name, record.contract_id(), schema_hash(record), tuple(files), parents)
    (folder / MANIFEST).write_text(manifest.canonical())
    return manifest


def file_entry(folder: Path, path: Path, num_rows: int | None = None) -> FileEntry:
    """Name, hash and size of a file of a manifest."""
    data = path.read_bytes()
    return FileEntry(
        path=path.relative_to(folder).as_posix(), sha256=sha256_hex(data), num_bytes=len(data), num_rows=num_rows
    )


def verify_files(folder: Path, files: Iterable[FileEntry]) -> None:
    """Compare every file of a manifest with its hash. Raises DatasetError for the first that differs or is missing."""
    for entry in files:
        path = folder / entry.path
        if not path.is_file():
            raise DatasetError(f"{path} is missing: materialise the dataset again, or copy the whole folder")
        found = sha256_hex(path.read_bytes())
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


def read_table(folder: Path, record: type[Record], expected_hash: str | None = None) -> pa.Table:
    """Read a dataset as one Arrow table, after checking contract, manifest hash and every file's hash (law 7)."""
    folder = Path(folder)
    manifest = read_manifest(folder, expected_hash)
    if (manifest.record_contract, manifest.schema_hash) != (record.contract_id(), schema_hash(record)):
        raise DatasetError(
            f"{folder} holds {manifest.record_contract} (schema {manifest.schema_hash[:8]}), but "
            f"{record.contract_id()} (schema {schema_hash(record)[:8]}) is needed: materialise it again with this version"
        )
    verify_files(folder, manifest.files)
    return pa.concat_tables(_read_part(folder / entry.path, record) for entry in manifest.files)


def read_dataset(folder: Path, record: type[R], expected_hash: str | None = None) -> list[R]:
    """Read a dataset as records, with the same checks as `read_table`."""
    return _records(read_table(folder, record, expected_hash), record)
