"""Which tables are published, from the released versions in the store."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from data_contracts.attempts import Attempt
from data_contracts.decisions import Decision, Verdict
from data_contracts.difficulty import Difficulty
from data_contracts.manifests import EvaluationRow, RunInput
from data_contracts.overlaps import Overlap
from data_contracts.record import Record
from data_contracts.storage import read_table, to_table
from data_contracts.tasks import Split, Task
from data_contracts.token_rows import TokenRow
from pipelines.publishing.folder import Table
from pipelines.publishing.trajectories import trajectory_table
from pipelines.store import Store

Inputs = Mapping[str, RunInput]
"""Released versions by the name of what they are: attempts, tasks, sft_dataset, sft_decisions, and where there is RL
student_attempts, task_difficulty, rl_dataset, rl_decisions, evaluation_report."""


def published_tables(store: Store, inputs: Inputs) -> list[Table]:
    """All tables; the first is what most people want."""
    tasks = store.read(inputs["tasks"], Task)
    return [*_trajectories(store, inputs, tasks), *_records(inputs), _tasks(tasks)]


def all_decisions(store: Store, inputs: Inputs) -> list[Decision]:
    """The decisions of every filter on the way."""
    return [row for name, entry in inputs.items() if name.endswith("_decisions") for row in store.read(entry, Decision)]


def _trajectories(store: Store, inputs: Inputs, tasks: Sequence[Task]) -> list[Table]:
    attempts, by_key = store.read(inputs["attempts"], Attempt), {task.key: task for task in tasks}
    decisions = {decision.subject: decision for decision in store.read(inputs["sft_decisions"], Decision)}
    kept = {key for key, decision in decisions.items() if decision.verdict is Verdict.KEEP}
    tables = [
        (
            "trajectories",
            "Attempts that passed every filter: `messages` + `tools`",
            [a for a in attempts if a.key in kept],
        ),
        ("dropped", "Attempts that did not pass, with the reason", [a for a in attempts if a.key not in kept]),
    ]
    if "student_attempts" in inputs:
        students = store.read(inputs["student_attempts"], Attempt)
        tables.append(("student_trajectories", "Attempts of the student that RL starts from, all of them", students))
    return [Table(name, text, {"train": trajectory_table(rows, by_key, decisions)}) for name, text, rows in tables]


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
    tables = []
    for name, text, record, assets in stored:
        parts = [_stored(inputs[asset], record) for asset in assets if asset in inputs]
        if parts:
            tables.append(Table(name, text, {"train": pa.concat_tables(parts)}))
    return tables


def _stored(entry: RunInput, record: type[Record]) -> pa.Table:
    return read_table(Path(entry.path), record, entry.content_hash)


def _tasks(tasks: Sequence[Task]) -> Table:
    splits = {split.value: to_table((task for task in tasks if task.split is split), Task) for split in Split}
    return Table("tasks", "What was asked, with tools, verifier and limits", splits)
