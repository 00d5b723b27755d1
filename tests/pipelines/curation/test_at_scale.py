"""Out of core as in memory: the same decisions and bytes for any shards, processes, order of rows, and interruption."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.attempts import Attempt, CallStatus, Outcome
from data_contracts.decisions import Decision, Reason, Verdict
from data_contracts.manifests import RunInput
from data_contracts.overlaps import Overlap
from data_contracts.storage import (
    DatasetError,
    finish_dataset,
    read_dataset,
    row_groups,
    scratch_folder,
    sorted_tables,
    to_table,
    write_dataset,
    write_part,
    write_tables,
)
from data_contracts.tasks import Task
from pipelines.curation.at_scale import Question, select_sft_dataset
from pipelines.curation.choice import BudgetRecipe, Method
from pipelines.curation.contamination import attempt_overlaps, task_overlaps
from pipelines.curation.decontamination import DecontaminationRecipe, index_items
from pipelines.curation.funnel import check_accounted
from pipelines.curation.near_duplicates import NearDuplicateRecipe
from pipelines.curation.recipes import C2, SftDataRecipe
from pipelines.curation.selection import select_sft
from pipelines.curation.workers import ScaleRecipe
from tests.pipelines.curation.made import attempt, attempt_lists, task

SMALL = ScaleRecipe(num_processes=1)
NAMES, ITEMS = pl.Series(["suite/1"]), pl.Series(["how many apples lie in the third of seven baskets today"])
DECONTAMINATION = DecontaminationRecipe()


def quiet(line):
    """Progress is not looked at."""


def stored(root, name, rows, record, rows_per_group=1000) -> RunInput:
    """A dataset of row groups (so shards) of this size, four to a part."""
    with scratch_folder(root / name) as scratch:
        groups = list(row_groups(sorted_tables(rows, record, scratch), rows_per_group))
        files = [
            write_part(
                scratch / f"part-{start:05d}.parquet", groups[start : start + 4] or [to_table([], record)], record
            )
            for start in range(0, max(len(groups), 1), 4)
        ]
        folder, manifest = finish_dataset(root, name, scratch, files, record)
    return RunInput(name=name, path=str(folder), content_hash=manifest.content_hash)


def question(root, attempts, tasks, recipe, rows_per_group=1000) -> Question:
    inputs = [
        stored(root, name, rows, record, rows_per_group)
        for name, rows, record in (("attempts", attempts, Attempt), ("tasks", tasks, Task))
    ]
    return Question(*inputs, NAMES, ITEMS, DECONTAMINATION, recipe)


def hashes(root, asked, scale=SMALL, say=quiet):
    """Content hashes of what comes out: kept attempts, decisions, overlaps."""
    with select_sft_dataset(asked, scale, root / "work", say) as selected:
        kept = selected.write_kept(root, "kept", ())
        decided = write_tables(root, "decisions", selected.decisions(), Decision)
        shared = write_dataset(root, "overlaps", selected.overlaps(), Overlap)
    return tuple(manifest.content_hash for _, manifest in (kept, decided, shared))


def in_memory(root, attempts, tasks, recipe):
    """The same by `select_sft`."""
    index = index_items(NAMES, ITEMS, DECONTAMINATION)
    asked = {row.task_key for row in attempts}
    overlaps = [*attempt_overlaps(attempts, index), *task_overlaps([t for t in tasks if t.key in asked], index)]
    kept, decisions = select_sft(attempts, recipe, tasks, overlaps)
    written = (("kept", kept, Attempt), ("decisions", decisions, Decision), ("overlaps", overlaps, Overlap))
    return tuple(write_dataset(root, name, rows, record)[1].content_hash for name, rows, record in written)


RECIPES = st.builds(
    SftDataRecipe,
    verified=st.booleans(),
    c2=st.sampled_from(C2),
    max_per_task=st.none() | st.integers(1, 2),
    near_duplicates=st.none() | st.just(NearDuplicateRecipe(threshold=0.6, shingle_size=2)),
    budget=st.none()
    | st.builds(BudgetRecipe, max_rows=st.integers(1, 3), method=st.sampled_from(Method), seed=st.just(0)),
)


@settings(deadline=None, max_examples=25)
@given(attempt_lists(), RECIPES, st.integers(1, 5), st.randoms())
def test_any_shards_and_order_of_rows_give_the_bytes_of_memory(tmp_path_factory, attempts, recipe, per_group, order):
    root, tasks = tmp_path_factory.mktemp("store"), [task(n) for n in range(3)]
    shuffled = order.sample(attempts, len(attempts))
    found = hashes(root, question(root, shuffled, tasks, recipe, per_group))
    assert found == in_memory(root, attempts, tasks, recipe)
    assert not list((root / "work").iterdir())


REWRITTEN = {"items.arrow", "decontamination.json", "tasks.arrow", "tools.json"}
"""What takes no time to make: the evaluation items as they were handed in, and what all task shards say together."""
WORDS = [f"word{n}" for n in range(400)]
TASKS = [task(n) for n in range(20)]
EVERYTHING = SftDataRecipe(
    verified=False,
    c2=C2.AFTER_C1,
    max_per_task=9,
    near_duplicates=NearDuplicateRecipe(),
    budget=BudgetRecipe(max_rows=70, method=Method.K_CENTER, seed=0),
)


def varied(number: int) -> list[Attempt]:
    """Attempts of every fate: copies, near-copies, evaluation items, failures, of many tasks."""
    draw, rows = random.Random(0), list[Attempt]()
    for n in range(number):
        text = " ".join(draw.choices(WORDS, k=60))
        earlier = rows[draw.randrange(len(rows))] if rows else None
        if earlier is not None and n % 5 < 2:
            text = earlier.final_answer + (" again" if n % 5 == 0 else "")
        text = f"{text} {ITEMS[0]}" if n % 31 == 3 else text
        outcome = Outcome.WRONG if n % 3 == 0 and n % 20 > 3 else Outcome.CORRECT
        statuses = (CallStatus.ERROR,) * (n % 4 == 0) + (CallStatus.OK,) * (n % 7 != 0)
        rows.append(attempt(f"a{n:04}", TASKS[n % 20].key, outcome, statuses, answer=text))
    return rows


ROWS = varied(260)


def test_processes_change_nothing_and_every_rule_on_sets_had_its_say(tmp_path):
    wanted = in_memory(tmp_path, ROWS, TASKS, EVERYTHING)
    shuffled = random.Random(1).sample(ROWS, len(ROWS))
    asked = question(tmp_path, shuffled, TASKS, EVERYTHING, 23)
    assert hashes(tmp_path, asked, ScaleRecipe(num_processes=2)) == wanted
    decisions = read_dataset(tmp_path / "decisions" / wanted[1], Decision)
    check_accounted((row.key for row in ROWS), decisions)
    reasons = {decision.reason for decision in decisions}
    on_sets = {Reason.DUPLICATE, Reason.NEAR_DUPLICATE, Reason.OVER_BUDGET, Reason.GROUP_ALL_CORRECT}
    assert reasons >= {*on_sets, Reason.CONTAMINATED, Reason.PASSED, Reason.ALL_CALLS_FAILED}


def test_a_run_that_was_killed_goes_on_where_it_stood(tmp_path):
    asked, lines = question(tmp_path, ROWS, TASKS, EVERYTHING, 23), list[str]()

    def until_the_fifth(line):
        lines.append(line)
        if line.startswith("measure: shard 5 of 12"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hashes(tmp_path, asked, say=until_the_fifth)
    assert not (tmp_path / "kept").exists()
    again = list[str]()
    assert hashes(tmp_path, asked, say=again.append) == in_memory(tmp_path, ROWS, TASKS, EVERYTHING)
    measured = [line for line in again if line.startswith("measure:")]
    assert len(measured) == 7
    assert re.fullmatch(r"measure: shard 7 of 7, about \d+ s left", measured[-1])


LAST_WORDS = (
    "tasks: shard 1",
    "measure: shard 3 ",
    "measure: shard 8 ",
    "compare: shard 2 ",
    "compare: shard 1",
    "write: ",
)


def killed(root, num_processes, last_words):
    command = [sys.executable, "-m", "tests.pipelines.curation.killed", str(root), str(num_processes), last_words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120)


def test_killed_in_every_pass_a_run_goes_on_and_makes_no_shard_twice(tmp_path):
    wanted = in_memory(tmp_path / "memory", ROWS, TASKS, EVERYTHING)
    said, made = list[str](), dict[Path, tuple[int, int]]()
    for last_words in (*LAST_WORDS, ""):
        done = killed(tmp_path, 1, last_words)
        assert done.returncode == (-signal.SIGKILL if last_words else 0)
        said += done.stdout.splitlines()
        files = {path: path.stat() for path in (tmp_path / "work").rglob("*.*") if ".writing-" not in str(path)}
        left = {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in files.items()}
        kept = {path: stamp for path, stamp in left.items() if made.get(path, stamp) == stamp}
        assert {path.name for path in left.keys() - kept.keys()} <= REWRITTEN
        assert not last_words or made.keys() <= left.keys()
        made = left
    assert said[-1].split() == list(wanted)
    for stage, number in (("tasks", 1), ("measure", 12), ("write", 1)):
        assert sum(line.startswith(f"{stage}:") for line in said) == number
    assert not list((tmp_path / "work").iterdir())


def test_processes_end_with_the_one_that_started_them(tmp_path):
    workers = [int(pid) for pid in killed(tmp_path, 2, "measure: shard 2 ").stdout.splitlines()[-1].split()]
    assert len(workers) == 2
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_rows_that_break_their_contract_are_quarantined_with_place_and_problem(tmp_path):
    table = to_table(ROWS, Attempt)
    outcomes = table["outcome"].to_pylist()
    outcomes[40] = "splendid"
    spoilt = table.set_column(
        table.schema.get_field_index("outcome"), table.schema.field("outcome"), pa.array(outcomes)
    )
    with scratch_folder(tmp_path / "attempts") as scratch:
        part = write_part(scratch / "part-00000.parquet", row_groups([spoilt], 23), Attempt)
        folder, manifest = finish_dataset(tmp_path, "attempts", scratch, [part], Attempt)
    spoilt_input = RunInput(name="attempts", path=str(folder), content_hash=manifest.content_hash)
    asked = replace(question(tmp_path, [], TASKS, EVERYTHING), attempts=spoilt_input)
    _, decided, _ = hashes(tmp_path, asked)
    decisions = read_dataset(tmp_path / "decisions" / decided, Decision)
    check_accounted((row.key for row in ROWS), decisions)
    (aside,) = [decision for decision in decisions if decision.verdict is Verdict.QUARANTINE]
    assert (aside.subject, aside.reason, aside.source) == (ROWS[40].key, Reason.CONTRACT, "made")
    told = json.loads(aside.evidence)
    assert told["place"].endswith("part-00000.parquet: row 40")
    assert told["problem"].startswith("outcome: Input should be")
    others = [row for row in ROWS if row.key != aside.subject]
    index = index_items(NAMES, ITEMS, DECONTAMINATION)
    _, rest = select_sft(others, EVERYTHING, TASKS, attempt_overlaps(others, index))
    assert [decision for decision in decisions if decision != aside] == rest
    with pytest.raises(ValueError, match=r"1 of 260 attempts break their contract, e\.g\. a0040: more than"):
        hashes(tmp_path, asked, ScaleRecipe(max_quarantined=0.001))


def test_changed_files_and_too_little_memory_are_refused_in_words(tmp_path):
    asked = question(tmp_path, ROWS, TASKS, EVERYTHING)
    with pytest.raises(ValueError, match=r"memory_bytes=1,000, but these rows need [\d,]+ at least: allow more"):
        hashes(tmp_path, asked, ScaleRecipe(memory_bytes=1000))
    part = Path(asked.attempts.path) / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(DatasetError, match="was changed after it was written"):
        hashes(tmp_path, asked)
