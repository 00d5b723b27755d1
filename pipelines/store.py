"""Where data lies on disk, and which version of each asset is the released one. Knows no Dagster.

`<root>/datasets/<name>/<hash>` holds content-addressed datasets, `<root>/runs/<kind>-<identity>` what processes wrote, and
`<root>/latest/<asset>[/<partition>].json` points to the released version of an asset.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from data_contracts.manifests import CheckpointManifest, DatasetManifest, Parent, RunInput, RunKind, RunSpec
from data_contracts.record import Record
from data_contracts.storage import DatasetError, read_dataset, write_bytes, write_dataset, write_tables
from pipelines.recipe import StageRecipe
from rollout.checkpoint import read_checkpoint_manifest

R = TypeVar("R", bound=Record)

PROJECT = Path(__file__).resolve().parents[1]


def data_root() -> Path:
    """The data folder: TOOLPATH_DATA, or `data` beside the code."""
    return Path(os.environ.get("TOOLPATH_DATA") or PROJECT / "data").resolve()


class Store:
    """Datasets and checkpoints under one root folder. A `RunInput` names one version of one of them."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    @property
    def datasets(self) -> Path:
        """Where datasets lie."""
        return self.root / "datasets"

    def write(self, name: str, rows: Iterable[R], record: type[R], parents: Iterable[RunInput] = ()) -> RunInput:
        """Write rows as a content-addressed dataset; it is not released yet."""
        return entry_of(*write_dataset(self.datasets, name, rows, record, lineage(parents)))

    def write_tables(
        self, name: str, tables: Iterable[pa.Table], record: type[Record], parents: Iterable[RunInput] = ()
    ) -> RunInput:
        """`write` of rows that come as tables, in the order of their keys."""
        return entry_of(*write_tables(self.datasets, name, tables, record, lineage(parents)))

    def read(self, entry: RunInput, record: type[R]) -> list[R]:
        """The rows of a dataset, after checking its contract and its hash (law 7)."""
        return read_dataset(Path(entry.path), record, entry.content_hash)

    def spec(self, kind: RunKind, stage: StageRecipe, inputs: Iterable[RunInput]) -> RunSpec:
        """The spec of a process; its output folder is named after its identity."""
        spec = RunSpec(
            kind=kind,
            recipe=stage.canonical,
            inputs=tuple(inputs),
            output="",
            seed=stage.seed,
            num_gpus=stage.num_gpus,
        )
        return spec.model_copy(update={"output": str(self.root / "runs" / f"{kind.value}-{spec.identity[:12]}")})

    def release(self, asset: str, entry: RunInput, partition: str | None = None) -> None:
        """Make `entry` the version of `asset` that later stages read."""
        path = Path(entry.path)
        inside = path.relative_to(self.root) if path.is_relative_to(self.root) else path
        pointer = RunInput(name=asset, path=str(inside), content_hash=entry.content_hash)
        write_bytes(self._pointer(asset, partition), pointer.canonical().encode())

    def latest(self, asset: str, partition: str | None = None) -> RunInput:
        """The released version of an asset, path absolute. Raises DatasetError when there is none."""
        pointer = self._pointer(asset, partition)
        if not pointer.is_file():
            label = asset if partition is None else f"{asset} of {partition}"
            raise DatasetError(f"{label} has no released version in {self.root}: materialise {asset} first")
        entry = RunInput.from_json(pointer.read_bytes())
        return entry.model_copy(update={"path": str(self.root / entry.path)})

    def version(self, asset: str, start: str) -> RunInput:
        """The version of a dataset whose content hash starts so, released or not. Raises DatasetError for none, or several."""
        found = sorted(path for path in (self.datasets / asset).glob(f"{start}*") if path.is_dir())
        if len(found) != 1:
            known = ", ".join(path.name[:12] for path in sorted((self.datasets / asset).glob("[!.]*"))) or "none"
            raise DatasetError(
                f"{len(found)} versions of {asset} start with {start!r} (there are: {known}): give more of its hash"
            )
        return RunInput(name=asset, path=str(found[0]), content_hash=found[0].name)

    def input(self, name: str, asset: str, partition: str | None = None) -> RunInput:
        """The released version of an asset under the name that a process knows its input by."""
        return self.latest(asset, partition).model_copy(update={"name": name})

    def has(self, asset: str, partition: str | None = None) -> bool:
        """Whether a version of the asset is released."""
        return self._pointer(asset, partition).is_file()

    def newest(self, asset: str) -> RunInput:
        """The released version of an asset; of a partitioned one, that of the partition released last."""
        partitions = self.partitions(asset)
        return self.latest(asset, partitions[-1] if partitions else None)

    def partitions(self, asset: str) -> list[str]:
        """The partitions of an asset that have a released version, the last one released at the end."""
        pointers = (self.root / "latest" / asset).glob("*.json")
        return [path.stem for path in sorted(pointers, key=lambda path: path.stat().st_mtime_ns)]

    def _pointer(self, asset: str, partition: str | None) -> Path:
        return self.root / "latest" / (f"{asset}.json" if partition is None else f"{asset}/{partition}.json")


def lineage(parents: Iterable[RunInput]) -> tuple[Parent, ...]:
    """Versions as the parents of a dataset."""
    return tuple(Parent(name=p.name, content_hash=p.content_hash) for p in parents)


def entry_of(folder: Path, manifest: DatasetManifest) -> RunInput:
    """A written dataset as the input of a later stage."""
    return RunInput(name=manifest.name, path=str(folder), content_hash=manifest.content_hash)


def checkpoint_manifest(entry: RunInput) -> CheckpointManifest:
    """The manifest of a checkpoint, its files compared with their hashes. Raises DatasetError for what differs."""
    return read_checkpoint_manifest(Path(entry.path), entry.content_hash)
