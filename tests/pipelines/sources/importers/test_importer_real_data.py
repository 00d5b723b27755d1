"""The recorded sources as they are: labels, calls, errors and figures equal the index and the reference figures.

What the reference counts otherwise stands in `reference.py`, with the reason.
"""

import csv
import gzip
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import islice

import polars as pl
import pytest

from data_contracts.attempts import Attempt, Flag, Outcome, RepeatKind
from data_contracts.decisions import Decision, Reason
from data_contracts.messages import Role
from data_contracts.tasks import Task
from pipelines.curation.difficulty import measure_difficulty
from pipelines.curation.figures import attempt_table, group_figures, record_figures
from pipelines.sources.importers import Imported, read_folder
from tests.pipelines.sources.importers import reference
from tests.recorded_data import DATA, needs_data

pytestmark = needs_data
SOURCES = (
    "agentdojo",
    "gsm8k_openai_solutions",
    "intercode",
    "mathcoder",
    "miniswe",
    "mint",
    "nemo_gym",
    "smolagents",
    "tau1",
    "tau2",
    "toolbench",
    "tora",
    "verifiers",
)
BATCH = 1000


@dataclass(frozen=True)
class Facts:
    """What the tests need of one attempt; the texts of all sources together would not fit into a test's memory."""

    key: str
    place: tuple[str, int, str]
    """File, line from 0, model: a row of the index."""
    task_key: str
    source_id: str
    task: str
    """As the reference names and counts tasks."""
    domain: str
    outcome: Outcome
    kind: RepeatKind
    flags: tuple[Flag, ...]
    is_paired: bool


@dataclass(frozen=True)
class Read:
    """A source, read whole."""

    facts: list[Facts]
    table: pl.DataFrame
    """`attempt_table` with the reference's success, calls and failures; rows as in `facts`."""
    refused: list[Decision]


@cache
def read(source: str) -> Read:
    facts, tables, refused, batch = list[Facts](), list[pl.DataFrame](), list[Decision](), list[Imported]()
    for entry in read_folder(DATA / "trajectories" / source):
        if isinstance(entry, Decision):
            refused.append(entry)
            continue
        facts.append(facts_of(entry.attempt, entry.task))
        batch.append(entry)
        if len(batch) == BATCH:
            tables.append(reference_table(batch))
            batch = []
    return Read(facts, pl.concat([*tables, reference_table(batch)]), refused)


def reference_table(batch: list[Imported]) -> pl.DataFrame:
    names = {entry.attempt.key: reference.task(entry.attempt, entry.task.source_id) for entry in batch}
    attempts = [entry.attempt for entry in batch]
    table = attempt_table(attempts, lambda attempt: names[attempt.key], reference.success)
    calls = pl.Series([reference.num_calls(attempt) for attempt in attempts], dtype=pl.Int64)
    failed = pl.Series([reference.num_failed(attempt) for attempt in attempts], dtype=pl.Int64)
    return table.with_columns(calls=calls, failed=failed)


def facts_of(attempt: Attempt, task: Task) -> Facts:
    file, _, line = attempt.source_ref.partition("#")[0].rpartition(":")
    place = (f"trajectories/{attempt.source}/{file}", int(line) - 1, attempt.policy.name)
    return Facts(
        attempt.key,
        place,
        task.key,
        task.source_id,
        reference.task(attempt, task.source_id),
        attempt.domain,
        attempt.outcome,
        attempt.repeat_kind,
        attempt.flags,
        is_paired(attempt),
    )


def is_paired(attempt: Attempt) -> bool:
    """Every call has an id of its own, and its result or none."""
    agents = [m for m in attempt.messages if m.tool_call_id and m.requestor is Role.ASSISTANT]
    results = {message.tool_call_id: message.content for message in agents}
    calls = attempt.calls()
    return len({call.id for call in calls}) == len(calls) and results.items() <= {c.id: c.result for c in calls}.items()


@cache
def index():
    with gzip.open(DATA / "index.csv.gz", "rt") as file:
        return {(row["file"], int(row["line"]), row["model"]): row for row in csv.DictReader(file)}


def attempts_of(source: str, num_rows: int) -> list[Attempt]:
    rows = islice(read_folder(DATA / "trajectories" / source), num_rows)
    return [row.attempt for row in rows if isinstance(row, Imported)]


@pytest.mark.parametrize("source", SOURCES)
def test_every_row_is_read(source):
    """Only the descriptions of tau2's runs are no trajectories."""
    facts = read(source).facts
    assert {f.place for f in facts} == {place for place, row in index().items() if row["source"] == source}
    assert len({f.key for f in facts}) == len(facts)
    assert all(d.subject.startswith("run_info/") and d.reason is Reason.CONTRACT for d in read(source).refused)
    assert len(read(source).refused) == (10 if source == "tau2" else 0)


@pytest.mark.parametrize("source", SOURCES)
def test_label_calls_errors_and_model_of_every_row_equal_the_index(source):
    success = {"1": True, "0": False, "": None}
    rows = zip(read(source).facts, read(source).table.iter_rows(named=True), strict=True)
    found = {f.place: (f.domain, row["success"], row["calls"], row["failed"]) for f, row in rows}
    said = {
        place: (row["sub"], success[row["success"]], int(row["calls"]), int(row["errors"]))
        for place, row in index().items()
        if row["source"] == source
    }
    assert {place: (found[place], said[place]) for place in said if found[place] != said[place]} == {}


@pytest.mark.parametrize("source", SOURCES)
def test_tasks_are_those_of_the_index(source):
    ours, theirs = defaultdict(set), defaultdict(set)
    for fact in read(source).facts:
        task = index()[fact.place]["task"]
        ours[fact.task].add(task)
        theirs[task].add(fact.task)
    assert all(len(names) == 1 for names in [*ours.values(), *theirs.values()])


@pytest.mark.parametrize("source", SOURCES)
def test_a_key_names_one_task(source):
    names = defaultdict(set)
    for fact in read(source).facts:
        names[fact.task_key].add(fact.source_id)
    assert all(len(found) == 1 for found in names.values())


@pytest.mark.parametrize("source", SOURCES)
def test_published_figures_are_met_to_their_last_digit(source):
    figures = json.loads((DATA / "reference_stats.json").read_text())
    parts = {name.split("/")[1]: said for name, said in figures.items() if name.split("/")[0] == source}
    table = read(source).table.with_columns(domain=pl.Series([fact.domain for fact in read(source).facts]))
    assert set(table["domain"]) == parts.keys()
    for part, said in parts.items():
        rows = table.filter(domain=part)
        found = {
            "records": record_figures(rows),
            "groups_task_model": group_figures(rows, ["task", "policy"]),
            "groups_task": group_figures(rows, ["task"]),
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


@pytest.mark.parametrize("source", SOURCES)
def test_every_call_has_its_result_or_none(source):
    assert all(fact.is_paired for fact in read(source).facts)


FLAGS = {
    "agentdojo": {Flag.CRASHED_RUN: 1, Flag.BLOCK_CONTENT: 48, Flag.NULL_CONTENT: 354, Flag.ARGUMENTS_AS_OBJECTS: 636},
    "gsm8k_openai_solutions": {Flag.CALLS_IN_TEXT: 2459},
    "intercode": {Flag.CRASHED_RUN: 277, Flag.MISSING_PROMPT: 4471, Flag.PARTIAL_REWARD: 400, Flag.ORACLE_HINT: 9},
    "mathcoder": {},
    "miniswe": {},
    "mint": {
        Flag.CRASHED_RUN: 150,
        Flag.BROKEN_GRADER: 247 + 162,
        Flag.INVENTED_OBSERVATION: 2184,
        Flag.ORACLE_HINT: 8370,
        Flag.CALLS_IN_TEXT: 24800,
        Flag.CONTROL_TEXT: 104,
    },
    "nemo_gym": {Flag.BLOCK_CONTENT: 38, Flag.MISSING_PROMPT: 10},
    "smolagents": {Flag.HEURISTIC_VERDICT: 94, Flag.CALLS_IN_TEXT: 94, Flag.BLOCK_CONTENT: 94},
    "tau1": {Flag.NULL_CONTENT: 88},
    "tau2": {Flag.USER_CALLS: 24, Flag.NULL_CONTENT: 226, Flag.ARGUMENTS_AS_OBJECTS: 261},
    "toolbench": {Flag.UNVERIFIED: 6, Flag.SEARCH_TREE: 6},
    "tora": {Flag.HEURISTIC_VERDICT: 621, Flag.CALLS_IN_TEXT: 621},
    "verifiers": {
        Flag.CRASHED_RUN: 78,
        Flag.MISSING_TRANSCRIPT: 3,
        Flag.BROKEN_GRADER: 9,
        Flag.SHAPED_REWARD: 12,
        Flag.NULL_CONTENT: 9,
        Flag.CALLS_AS_STRINGS: 350,
    },
}


@pytest.mark.parametrize("source", SOURCES)
def test_the_known_traps_are_flagged(source):
    facts = read(source).facts
    assert Counter(flag for fact in facts for flag in fact.flags) == FLAGS[source]
    assert all((fact.outcome is Outcome.VOID) == (Flag.CRASHED_RUN in fact.flags) for fact in facts)


def test_invented_observations_are_those_that_the_index_notes():
    noted = {place for place, row in index().items() if row["note"] == "hallucinated_observation"}
    assert {f.place for f in read("mint").facts if Flag.INVENTED_OBSERVATION in f.flags} == noted


def test_rows_without_a_label_are_unlabelled():
    unlabelled = Counter(f.domain for f in read("miniswe").facts if f.outcome is Outcome.UNLABELLED)
    assert unlabelled == {"dev": 11}


def test_budgets_and_greedy_runs_are_no_independent_repeats():
    kinds = Counter(fact.kind for fact in read("mint").facts)
    assert kinds[RepeatKind.BUDGET] > kinds[RepeatKind.COPY] > 0
    real = [f for f in read("mint").facts if f.outcome is not Outcome.VOID and f.kind is RepeatKind.INDEPENDENT]
    assert max(Counter((f.task_key, f.place[2]) for f in real).values()) == 1


def test_greedy_triples_are_copies_and_make_no_posterior():
    assert Counter(fact.kind for fact in read("mathcoder").facts) == {
        RepeatKind.INDEPENDENT: 5379,
        RepeatKind.COPY: 2 * 558 + 62,
        RepeatKind.SEED: 62 + 2,
    }
    attempts = attempts_of("mathcoder", 3000)
    rows = measure_difficulty(attempts)
    assert {row.num_attempts for row in rows} == {1}
    assert sum(row.num_attempts + row.num_dependent for row in rows) == len(attempts)
    assert any(row.num_dependent for row in rows)


def test_the_policy_and_the_users_calls_of_tau2_stand_in_the_attempt():
    attempts = [a for a in attempts_of("tau2", 300) if Flag.USER_CALLS in a.flags]
    assert {a.messages[0].role for a in attempts} == {Role.SYSTEM}
    results = [m for a in attempts for m in a.messages if m.role is Role.TOOL and m.requestor is Role.USER]
    asked = [call for a in attempts for m in a.messages if m.role is Role.USER for call in m.tool_calls]
    assert len(results) == len(asked) == 308
