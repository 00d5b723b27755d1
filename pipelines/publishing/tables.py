"""Which tables are published, from the released versions in the store. Memory holds a shard of rows at a time, and of all
attempts and tasks keys, verdicts and which tools there were."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.attempts import Attempt
from data_contracts.decisions import Decision, Verdict
from data_contracts.difficulty import Difficulty
from data_contracts.ids import canonical_json
from data_contracts.manifests import EvaluationRow, RunInput
from data_contracts.overlaps import Overlap
from data_contracts.record import Record
from data_contracts.tasks import Split, Task
from data_contracts.token_rows import TokenRow
from data_contracts.tools import ToolSpec
from pipelines.curation.funnel import stored_funnel
from pipelines.curation.shards import Shard, read_shard, shard_records, shards_of, whole_rows
from pipelines.publishing.folder import Table
from pipelines.publishing.trajectories import Decided, Tools, tool_texts, trajectory_table

Inputs = Mapping[str, RunInput]
"""Released versions by the name of what they are: attempts, tasks, sft_dataset, sft_decisions, and where there is RL
student_attempts, task_difficulty, rl_dataset, rl_decisions, evaluation_report."""


def published_tables(inputs: Inputs) -> list[Table]:
    """All tables; the first is what most people want. Their rows are read while they are asked for."""
    return [*_trajectories(inputs), *_records(inputs), _tasks(inputs["tasks"])]


def all_decisions(inputs: Inputs, by: Iterable[str]) -> pl.DataFrame:
    """The decisions of every filter on the way, counted."""
    folders = [Path(entry.path) for name, entry in inputs.items() if name.endswith("_decisions")]
    counted = pl.concat([stored_funnel(folder, list(by)) for folder in folders])
    return counted.group_by(list(by)).agg(pl.col("num_rows").sum()).sort(list(by))


def shards(entry: RunInput, record: type[Record]) -> list[Shard]:
    """The shards of a released version, after comparing contract and hashes (law 7)."""
    return shards_of(Path(entry.path), record, entry.content_hash)


def _trajectories(inputs: Inputs) -> list[Table]:
    tools, decided = tools_by_task(inputs["tasks"]), _decided(inputs["sft_decisions"])
    kept = decided.filter(pl.col("verdict") == Verdict.KEEP.value)["subject"]
    rows = partial(_rows, inputs["attempts"], tools, decided)
    passed = "Attempts that passed every filter: `messages` + `tools`"
    tables = [
        Table("trajectories", passed, {"train": rows(kept, True)}),
        Table("dropped", "Attempts that did not pass, with the reason", {"train": rows(kept, False)}),
    ]
    if "student_attempts" in inputs:
        says = "Attempts of the student that RL starts from, all of them"
        of_students = _rows(inputs["student_attempts"], tools, decided, kept[:0], False)
        tables.append(Table("student_trajectories", says, {"train": of_students}))
    return tables


def _rows(entry: RunInput, tools: Tools, decided: pl.DataFrame, keys: pl.Series, among: bool) -> Iterator[pa.Table]:
    """Attempts that are among the keys, or that are not."""
    for shard in shards(entry, Attempt):
        own = pl.concat(pl.Series(table["key"]) for table in read_shard(shard, ["key"]))
        wanted = set(own.filter(own.is_in(keys.implode()) == among))
        verdicts = _by_subject(decided.filter(pl.col("subject").is_in(own.implode())))
        for attempts in shard_records(shard, Attempt):
            yield trajectory_table([a for a in attempts if a.key in wanted], tools, verdicts)


def _decided(entry: RunInput) -> pl.DataFrame:
    tables = [pl.DataFrame(table) for shard in shards(entry, Decision) for table in read_shard(shard, list(DECIDED))]
    return pl.concat([pl.DataFrame(schema=DECIDED), *(table.cast(DECIDED) for table in tables)])


COPIED = ("verdict", "reason", "filter_version")
DECIDED = pl.Schema([("subject", pl.String()), *((name, pl.Categorical()) for name in COPIED)])
"""What of a decision stands on the row of its attempt."""


def _by_subject(decided: pl.DataFrame) -> dict[str, Decided]:
    return {subject: (verdict, reason, version) for subject, verdict, reason, version in decided.iter_rows()}


def tools_by_task(entry: RunInput) -> Tools:
    """The published tools of every task; equal sets are one object."""
    sets: dict[str, tuple[str, ...]] = {}
    found: dict[str, tuple[str, ...]] = {}
    for shard in shards(entry, Task):
        for table in read_shard(shard):
            for key, tools in zip(table["key"].to_pylist(), table["tools"].to_pylist(), strict=True):
                text = canonical_json(tools)
                if text not in sets:
                    sets[text] = tool_texts(map(ToolSpec.model_validate, tools))
                found[key] = sets[text]
    return found


def _records(inputs: Inputs) -> list[Table]:
    """Tables that are published as they are stored."""
    stored: list[tuple[str, str, type[Record], tuple[str, ...]]] = [
        ("token_rows", "What SFT trained on: ids, segment kinds, mask", TokenRow, ("sft_dataset",)),
        ("difficulty", "Pass rate of each task for one student, with its posterior", Difficulty, ("task_difficulty",)),
        ("rl_tasks", "Tasks that RL trained on", Task, ("rl_dataset",)),
        ("decisions", "Keep or drop, with the reason, for every row", Decision, ("sft_decisions", "rl_decisions")),
        ("contamination", "What rows share with evaluation items", Overlap, ("sft_overlaps", "rl_overlaps")),
        ("evaluation", "The report on held-out tasks", EvaluationRow, ("evaluation_report",)),
    ]
    entries = [
        (name, text, record, [inputs[a] for a in assets if a in inputs]) for name, text, record, assets in stored
    ]
    return [Table(name, text, {"train": _stored(found, record)}) for name, text, record, found in entries if found]


def _stored(entries: Iterable[RunInput], record: type[Record]) -> Iterator[pa.Table]:
    return (table for entry in entries for shard in shards(entry, record) for table in whole_rows(shard, record))


def _tasks(entry: RunInput) -> Table:
    splits = {split.value: _of_split(entry, split) for split in Split}
    return Table("tasks", "What was asked, with tools, verifier and limits", splits)


def _of_split(entry: RunInput, split: Split) -> Iterator[pa.Table]:
    return (table.filter(pc.field("split") == split.value) for table in _stored([entry], Task))
