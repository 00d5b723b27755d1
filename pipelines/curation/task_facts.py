"""What judging attempts takes from their tasks: declared tools, and the evaluation item that a task holds most of."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.columns import records
from data_contracts.ids import canonical_json
from data_contracts.messages import Message
from data_contracts.overlaps import Overlap
from data_contracts.record import Record
from data_contracts.storage import write_bytes
from data_contracts.tools import ToolSpec
from pipelines.curation.contamination import overlaps_in, worst
from pipelines.curation.evaluation_items import stored_index
from pipelines.curation.shards import Shard, read_shard
from pipelines.curation.workers import Workers

TASKS, TOOLS = "tasks.arrow", "tools.json"
SCHEMA = pa.schema({"task_key": pa.string(), "tools": pa.int32(), "overlap": pa.string()})
"""`tools`: which of the sets of tools in TOOLS. `overlap`: the worst overlaps as JSON, or null."""


@dataclass(frozen=True)
class TaskFacts:
    """Tools and overlap of some tasks, by key."""

    tools: dict[str, tuple[ToolSpec, ...]]
    overlaps: dict[str, tuple[Overlap, ...]]


class _Asked(Record):
    """The part of a task in which evaluation items are looked for."""

    key: str
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class _Job:
    shard: Shard
    folder: str

    @property
    def path(self) -> Path:
        """Where its result lies."""
        return Path(self.folder) / f"tasks-{self.shard.number:06d}.json"


def store_task_facts(shards: Sequence[Shard], folder: Path, pool: Workers) -> list[Overlap]:
    """Write the facts of all tasks to the folder, for `task_facts`; returns what they share with evaluation items.

    Raises ValueError for a task that comes twice.
    """
    sets: dict[str, int] = {}
    columns: tuple[list[str], list[int], list[str | None]] = ([], [], [])
    found: list[Overlap] = []
    jobs = [_Job(shard, str(folder)) for shard in shards]
    for _ in pool.map("tasks", _task_shard, [job for job in jobs if not job.path.exists()]):
        pass
    for job in jobs:
        keys, tools, shared = json.loads(job.path.read_text())
        overlaps = list(map(Overlap.model_validate, shared))
        held = worst(overlaps)
        found += overlaps
        columns[0].extend(keys)
        columns[1].extend(sets.setdefault(text, len(sets)) for text in tools)
        columns[2].extend(canonical_json([one.plain() for one in held[key]]) if key in held else None for key in keys)
    twice = [key for key, count in Counter(columns[0]).items() if count > 1]
    if twice:
        raise ValueError(f"task {min(twice)} comes more than once ({len(twice)} such keys): hand in every row once")
    (folder / TOOLS).write_text(canonical_json(list(sets)))
    _write(
        folder / TASKS,
        pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA),
    )
    return found


def _write(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _task_shard(job: _Job) -> None:
    """Write keys, declared tools as JSON, and overlaps of the tasks of a shard, once."""
    keys, tools, overlaps = list[str](), list[str](), list[Overlap]()
    for table in read_shard(job.shard):
        keys += table["key"].to_pylist()
        tools += map(canonical_json, table["tools"].to_pylist())
        asked = records(table.select(["key", "messages"]), _Asked)
        overlaps += overlaps_in({task.key: task.messages for task in asked}, stored_index(job.folder))
    write_bytes(job.path, canonical_json([keys, tools, [one.plain() for one in overlaps]]).encode())


def task_facts(folder: str, task_keys: Sequence[str]) -> TaskFacts:
    """The stored facts of some tasks; keys without a task have none."""
    stored, sets = _stored(folder), _tool_sets(folder)
    rows = stored.filter(pc.is_in(stored["task_key"], pa.array(task_keys, pa.string()))).to_pylist()
    return TaskFacts(
        {row["task_key"]: sets[row["tools"]] for row in rows},
        {row["task_key"]: _overlaps(row["overlap"]) for row in rows if row["overlap"] is not None},
    )


def _overlaps(text: str) -> tuple[Overlap, ...]:
    return tuple(map(Overlap.model_validate, json.loads(text)))


@lru_cache(maxsize=1)
def _stored(folder: str) -> pa.Table:
    """Mapped, so that all processes share one copy."""
    return pa.ipc.open_file(pa.memory_map(str(Path(folder) / TASKS))).read_all()


@lru_cache(maxsize=1)
def _tool_sets(folder: str) -> tuple[tuple[ToolSpec, ...], ...]:
    texts = json.loads((Path(folder) / TOOLS).read_text())
    return tuple(tuple(map(ToolSpec.model_validate, json.loads(text))) for text in texts)
