"""The three sources as they are: figures, labels, calls and errors equal the index and the reference figures."""

import csv
import gzip
import json
import os
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pytest

from data_contracts.attempts import MODEL_FAILURES, TOOL_FAILURES, Outcome, RepeatKind
from pipelines.curation.difficulty import measure_difficulty
from pipelines.curation.figures import attempt_table, group_figures, record_figures, success_of
from pipelines.sources.importers import Imported, read_folder

DATA = Path(os.environ.get("TOOLPATH_SHARED_DATA") or Path(__file__).parents[5] / "shared" / "data")
pytestmark = pytest.mark.skipif(
    not (DATA / "reference_stats.json").is_file(), reason=f"no recorded data at {DATA} (set TOOLPATH_SHARED_DATA)"
)
SOURCES = ("tau1", "verifiers", "mathcoder")
NUM_PARTS = {"tau1": 1, "verifiers": 5, "mathcoder": 4}


@cache
def imported(source):
    return list(read_folder(DATA / "trajectories" / source))


@cache
def index():
    with gzip.open(DATA / "index.csv.gz", "rt") as file:
        return {(row["file"], int(row["line"])): row for row in csv.DictReader(file) if row["source"] in SOURCES}


def indexed(source):
    """Attempts with their rows of the index."""
    for entry in imported(source):
        file, line = entry.attempt.source_ref.rsplit(":", 1)
        yield entry, index()[f"trajectories/{source}/{file}", int(line) - 1]


def reference_success(attempt):
    """The reference takes a broken grader at its word."""
    return False if "broken_grader" in attempt.flags else success_of(attempt)


@pytest.mark.parametrize("source", SOURCES)
def test_every_row_is_read(source):
    assert all(isinstance(entry, Imported) for entry in imported(source))
    assert len(imported(source)) == sum(row["source"] == source for row in index().values())
    assert len({entry.attempt.key for entry in imported(source)}) == len(imported(source))


@pytest.mark.parametrize("source", SOURCES)
def test_label_calls_errors_and_model_of_every_row_equal_the_index(source):
    success = {"1": True, "0": False, "": None}
    failures = MODEL_FAILURES | TOOL_FAILURES
    for entry, row in indexed(source):
        attempt = entry.attempt
        found = (
            attempt.policy.name,
            attempt.domain,
            reference_success(attempt),
            len(attempt.calls()),
            sum(call.status in failures for call in attempt.calls()),
        )
        said = (row["model"], row["sub"], success[row["success"]], int(row["calls"]), int(row["errors"]))
        assert found == said, attempt.source_ref


@pytest.mark.parametrize("source", SOURCES)
def test_tasks_are_those_of_the_index(source):
    ours, theirs = defaultdict(set), defaultdict(set)
    for entry, row in indexed(source):
        ours[entry.task.source_id].add(row["task"])
        theirs[row["task"]].add(entry.task.source_id)
    assert all(len(names) == 1 for names in [*ours.values(), *theirs.values()])


@pytest.mark.parametrize("source", SOURCES)
def test_published_figures_are_met_to_their_last_digit(source):
    reference = json.loads((DATA / "reference_stats.json").read_text())
    parts = {name.split("/")[1]: said for name, said in reference.items() if name.split("/")[0] == source}
    assert len(parts) == NUM_PARTS[source]
    question = {entry.task.key: entry.task.source_id for entry in imported(source)}
    for part, said in parts.items():
        attempts = [entry.attempt for entry in imported(source) if entry.attempt.domain == part]
        table = attempt_table(attempts, lambda attempt: question[attempt.task_key], reference_success)
        found = {
            "records": record_figures(table),
            "groups_task_model": group_figures(table, ["task", "policy"]),
            "groups_task": group_figures(table, ["task"]),
        }
        assert printed(found) == said, part


def printed(figures):
    """Four digits; the reference prints 0 for the error share of no calls, which is not measured."""
    rounded = {
        name: {figure: value if value is None else round(value, 4) for figure, value in group.items()}
        for name, group in figures.items()
    }
    if not rounded["records"]["calls"]:
        assert rounded["records"]["err/call%"] is None
        rounded["records"]["err/call%"] = 0.0
    return rounded


def test_every_call_has_its_result_or_none():
    for source in SOURCES:
        for entry in imported(source):
            results = {m.tool_call_id: m.content for m in entry.attempt.messages if m.tool_call_id}
            calls = entry.attempt.calls()
            assert len({call.id for call in calls}) == len(calls)
            assert results.items() <= {call.id: call.result for call in calls}.items()


def test_the_known_traps_are_flagged():
    flags = Counter(flag for entry in imported("verifiers") for flag in entry.attempt.flags)
    assert flags == {"crashed_run": 78, "missing_transcript": 3, "broken_grader": 9, "shaped_reward": 12}
    crashed = [e.attempt for e in imported("verifiers") if "crashed_run" in e.attempt.flags]
    assert {attempt.outcome for attempt in crashed} == {Outcome.VOID}


def test_greedy_triples_are_copies_and_make_no_posterior():
    attempts = [entry.attempt for entry in imported("mathcoder")]
    assert Counter(a.repeat_kind for a in attempts) == {
        RepeatKind.INDEPENDENT: 5379,
        RepeatKind.COPY: 2 * 558 + 62,
        RepeatKind.SEED: 62 + 2,
    }
    rows = measure_difficulty(attempts)
    assert {row.num_attempts for row in rows} == {1}
    assert sum(row.num_attempts + row.num_dependent for row in rows) == len(attempts)
