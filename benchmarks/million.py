"""A million trajectories through the whole SFT recipe, out of core: time, CPU and memory by pass; MinHash beside datatrove.

    python benchmarks/million.py --recorded LOGS --rows 100000 1000000 --processes 2
    python benchmarks/million.py --recorded LOGS --rows 2000 --against datatrove OTHER_PYTHON

Trajectories are composed from recorded ones of 6.5 to 20 kB: in each, about a seventh of the words (of those with three letters
or more) are others, so that two of one origin share less than half of their 5-word shingles; half of the origins pass the
rules on single attempts. A tenth are planted near-copies of another, with one word in two hundred changed. Eight
attempts ask one task, in shards far apart. Beyond BASE_ROWS the rows are those again, in alphabets of their own: each
letter is another one everywhere but in the arguments of calls, so that similarities inside an alphabet stay, and two
alphabets share numbers, signs and arguments alone. They are written as canonical Parquet first (not timed). The recipe has all
rules, C2, exact and near-duplicates, decontamination against --items questions, and a quota per task; it runs in a fresh
process tree, whose memory (proportional set size) and CPU time are read twice a second. The last lines show what the
composition is like, on a sample: similarity of planted pairs, and of pairs of one origin; and the recall of the planted.

--against datatrove: MinHash signatures of datatrove in the named interpreter, one task on one core, beside `sketch` on the
same texts; CPU seconds of each. datatrove has 112 hashes (its default), `sketch` 128 bins; both take 5-word shingles.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.attempts import Attempt, Policy, PolicyKind, RepeatKind
from data_contracts.decisions import Decision
from data_contracts.manifests import FileEntry, RunInput
from data_contracts.messages import Role
from data_contracts.storage import (
    ROWS_PER_GROUP,
    ROWS_PER_PART,
    finish_dataset,
    read_rows,
    scratch_folder,
    to_table,
    write_dataset,
    write_part,
    write_rows,
    write_tables,
)
from data_contracts.tasks import Task
from pipelines.curation.at_scale import Question, select_sft_dataset
from pipelines.curation.decontamination import DecontaminationRecipe
from pipelines.curation.near_duplicates import NearDuplicateRecipe, sketch
from pipelines.curation.recipes import C2, SftDataRecipe
from pipelines.curation.rules import Case, first_broken
from pipelines.curation.shingles import mix, plain_words
from pipelines.curation.texts import Aspect, text_of
from pipelines.curation.workers import ScaleRecipe, workers
from pipelines.sources.importers import Imported, read_folder

SEED = 0
RECIPE = SftDataRecipe(verified=True, c2=C2.BEFORE_C1, near_duplicates=NearDuplicateRecipe(), max_per_task=4)
NUM_ORIGINS = 600
ORIGIN_CHARS = (6_500, 20_000)
ATTEMPTS_PER_TASK = 8
REPLACED, COPY_CHANGED = 0.15, 0.005
PLANTED_EVERY = 10
NEW_WORDS = 50_000
WORD = re.compile(r"([A-Za-z]{3,})")
POLICY = Policy(kind=PolicyKind.RECORDED, name="composed", revision="1").plain()
ORIGINS = "origins.parquet", "tasks.parquet"
BASE_ROWS = 100_000
INPUTS, OUT = "inputs.json", "out"
"""What the recipe starts from, and where its results go."""


def choose_origins(recorded: Path, folder: Path) -> None:
    """Recorded attempts of the wanted length, half of them such that pass the rules on single attempts; and their tasks."""
    rng, kinds = random.Random(SEED), {True: list[Imported](), False: list[Imported]()}
    rows = [
        row
        for row in read_folder(recorded)
        if isinstance(row, Imported) and ORIGIN_CHARS[0] < said(row.attempt) < ORIGIN_CHARS[1]
    ]
    for row in rng.sample(rows, len(rows)):
        kind = kinds[first_broken(Case(row.attempt, row.task.tools), RECIPE) is None]
        if len(kind) < NUM_ORIGINS // 2:
            kind.append(row)
    chosen = [row for pair in zip(kinds[True], kinds[False], strict=False) for row in pair]
    write_rows(folder / ORIGINS[0], [row.attempt for row in chosen], Attempt)
    write_rows(folder / ORIGINS[1], [row.task for row in chosen], Task)


def said(attempt: Attempt) -> int:
    """Characters of all messages but the system's."""
    return sum(len(message.content) for message in attempt.messages if message.role is not Role.SYSTEM)


@dataclass
class Composer:
    """Makes trajectory number n of N, the same in any process."""

    origins: list[dict[str, Any]]
    tasks: list[Task]
    num_rows: int

    def __post_init__(self) -> None:
        rng = np.random.default_rng(SEED)
        letters, sizes = rng.integers(97, 123, (NEW_WORDS, 10), dtype=np.uint8), rng.integers(4, 11, NEW_WORDS)
        made = [bytes(row[:size]).decode() for row, size in zip(letters, sizes, strict=True)]
        self.ids: dict[str, int] = {word: n for n, word in enumerate(dict.fromkeys(made))}
        self.num_new = len(self.ids)
        self.parsed: dict[str, np.ndarray] = {}
        for origin in self.origins:
            for text in texts_in(origin):
                pieces = WORD.split(text)
                self.parsed[text] = np.array([self.ids.setdefault(piece, len(self.ids)) for piece in pieces])
        self.pieces = np.array(list(self.ids), object)

    def row(self, number: int) -> dict[str, Any]:
        """The trajectory as a plain row. Every PLANTED_EVERY-th is a near-copy of another."""
        source = self.source_of(number)
        changed = np.random.default_rng([SEED, number, 1]) if source != number else None
        made = replaced(self.origins[self.origin_of(source)], lambda text: self.varied(text, source, changed))
        task = self.tasks[self.task_of(source)]
        identity = {"key": f"attempt-{number:032x}", "task_key": task.key, "index": number}
        return made | identity | {"policy": POLICY, "repeat_kind": RepeatKind.INDEPENDENT.value}

    def source_of(self, number: int) -> int:
        """The number that a row is a near-copy of; its own where it is none."""
        if number % PLANTED_EVERY != PLANTED_EVERY - 1:
            return number
        drawn = random.Random(number).randrange(self.num_rows)
        return drawn - (drawn % PLANTED_EVERY == PLANTED_EVERY - 1)

    def origin_of(self, number: int) -> int:
        return random.Random(-1 - number).randrange(len(self.origins))

    def task_of(self, number: int) -> int:
        return number % len(self.tasks)

    def varied(self, text: str, number: int, changed: np.random.Generator | None) -> str:
        """The text with a share of its words replaced, each always by the same in one row; a copy with a few more."""
        pieces = self.parsed[text].copy()
        drawn = mix(mix(np.array([number + 1], np.uint64)) + pieces[1::2].astype(np.uint64))
        gone = drawn < np.uint64(REPLACED * 2**64)
        pieces[1::2][gone] = (drawn[gone] & np.uint64(0xFFFFFFFF)) % np.uint64(self.num_new)
        if changed is not None:
            places = 1 + 2 * np.flatnonzero(changed.random(len(pieces) // 2) < COPY_CHANGED)
            pieces[places] = changed.integers(0, self.num_new, len(places))
        return "".join(self.pieces[pieces])


VARIED = frozenset({"content", "reasoning", "text", "result", "final_answer"})
"""Fields whose words change; arguments of calls stay JSON."""


def replaced(value: Any, change: Callable[[str], str]) -> Any:
    """A plain row with `change` of all texts of VARIED fields."""
    if isinstance(value, list):
        return [replaced(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: change(inner) if name in VARIED and isinstance(inner, str) else replaced(inner, change)
        for name, inner in value.items()
    }


def texts_in(row: dict[str, Any]) -> list[str]:
    """All texts of VARIED fields."""
    found: list[str] = []
    replaced(row, lambda text: found.append(text) or text)
    return found


@lru_cache(maxsize=1)
def composer(folder: str, num_rows: int) -> Composer:
    """The composer of a folder with origins and tasks."""
    origins = [row.plain() for row in read_rows(Path(folder) / ORIGINS[0], Attempt)]
    return Composer(origins, made_tasks(Path(folder), num_rows), num_rows)


def made_tasks(folder: Path, num_rows: int) -> list[Task]:
    """One task for every ATTEMPTS_PER_TASK rows: recorded ones, each with a number of its own."""
    known = read_rows(folder / ORIGINS[1], Task)
    of_base = max(min(num_rows, BASE_ROWS) // ATTEMPTS_PER_TASK, 1)
    return [
        known[n % of_base % len(known)].model_copy(update={"key": f"task-{n:032x}", "source_id": f"made-{n}"})
        for n in range(of_base * max(num_rows // BASE_ROWS, 1))
    ]


def compose_part(job: tuple[str, str, int, int, int]) -> FileEntry:
    """Write rows `start` to `stop` as one part of a dataset."""
    path, folder, num_rows, start, stop = job
    made = composer(folder, num_rows)
    starts = range(start, stop, ROWS_PER_GROUP)
    groups = ([made.row(n) for n in range(at, min(at + ROWS_PER_GROUP, stop))] for at in starts)
    schema = to_table([], Attempt).schema
    return write_part(Path(path), (pa.Table.from_pylist(rows, schema=schema) for rows in groups), Attempt)


def respell_part(job: tuple[str, str, int]) -> FileEntry:
    """Write a part again in another alphabet, its rows numbered `shift` higher."""
    source, path, shift = job
    file, tables = pq.ParquetFile(source), list[pa.Table]()
    letters = np.random.default_rng([SEED, shift]).permutation(26).astype(np.uint8)
    alphabet = bytes.maketrans(LETTERS + LETTERS.upper(), (97 + letters).tobytes() + (65 + letters).tobytes())
    for group in range(file.num_row_groups):
        table = file.read_row_group(group).combine_chunks()
        columns = [respelt(table[name].chunk(0), name, alphabet) for name in table.column_names]
        for name, prefix, by in (("key", "attempt-", shift), ("task_key", "task-", shift // ATTEMPTS_PER_TASK)):
            numbers = (int(key.removeprefix(prefix), 16) + by for key in table[name].to_pylist())
            columns[table.column_names.index(name)] = pa.array([f"{prefix}{n:032x}" for n in numbers])
        tables.append(pa.Table.from_arrays(columns, schema=table.schema))
    return write_part(Path(path), tables, Attempt)


LETTERS = bytes(range(97, 123))


def respelt(array: pa.Array, name: str, alphabet: bytes) -> pa.Array:
    """An array, its letters changed in the texts of VARIED fields, however deep."""
    if isinstance(array, pa.ListArray):
        return pa.ListArray.from_arrays(array.offsets, respelt(array.values, name, alphabet), array.type)
    if isinstance(array, pa.StructArray):
        names = [field.name for field in array.type]
        children = [respelt(child, name, alphabet) for child, name in zip(array.flatten(), names, strict=True)]
        return pa.StructArray.from_arrays(children, fields=list(array.type))
    if name not in VARIED or not pa.types.is_string(array.type):
        return array
    valid, offsets, data = array.buffers()
    told = pa.py_buffer((data.to_pybytes() if data else b"").translate(alphabet))
    return pa.Array.from_buffers(array.type, len(array), [valid, offsets, told], array.null_count, array.offset)


def write_attempts(root: Path, num_rows: int, processes: int) -> RunInput:
    """The composed trajectories as a dataset."""
    if num_rows > BASE_ROWS and num_rows % BASE_ROWS:
        raise ValueError(f"--rows {num_rows}: beyond {BASE_ROWS} take a multiple of it")
    base = min(num_rows, BASE_ROWS)
    with scratch_folder(root / "attempts") as scratch, workers(processes, quiet) as pool:
        parts = [scratch / f"part-{n:05d}.parquet" for n in range(-(-num_rows // ROWS_PER_PART))]
        of_base = -(-base // ROWS_PER_PART)
        jobs = [
            (str(path), str(root), base, at, min(at + ROWS_PER_PART, base))
            for path, at in zip(parts, range(0, base, ROWS_PER_PART), strict=False)
        ]
        files = list(pool.map("compose", compose_part, jobs))
        again = [
            (str(parts[n % of_base]), str(path), n // of_base * base) for n, path in enumerate(parts) if n >= of_base
        ]
        files += list(pool.map("respell", respell_part, again))
        folder, manifest = finish_dataset(root, "attempts", scratch, files, Attempt)
    return RunInput(name="attempts", path=str(folder), content_hash=manifest.content_hash)


def quiet(line: str) -> None:
    """Progress that nobody reads."""


def made_items(num_items: int) -> tuple[list[str], list[str]]:
    """Names and texts of evaluation questions of 40 made words, which no trajectory holds."""
    rng = random.Random(SEED)
    return [f"suite/{n}" for n in range(num_items)], [
        " ".join(f"q{rng.randrange(10**6)}" for _ in range(40)) for _ in range(num_items)
    ]


def run_recipe(root: Path, processes: int, memory: int, num_items: int) -> None:
    """The timed part, in a process of its own: from datasets on disk to datasets on disk."""
    inputs = json.loads((root / INPUTS).read_text())
    attempts, tasks = (RunInput.model_validate(one) for one in inputs)
    names, texts = made_items(num_items)
    question = Question(attempts, tasks, pl.Series(names), pl.Series(texts), DecontaminationRecipe(), RECIPE)
    scale = ScaleRecipe(num_processes=processes, memory_bytes=memory)
    out = root / OUT
    with select_sft_dataset(question, scale, out / "work", say) as selected:
        say("decide: done")
        selected.write_kept(out, "kept", ())
        folder, _ = write_tables(out, "decisions", selected.decisions(), Decision)
        say("write: done")
    (out / "decided").write_text(str(folder))


def say(line: str) -> None:
    print(line, flush=True)


def processes_under(pid: int) -> list[int]:
    """The process and all below it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def seen(pid: int) -> tuple[int, float]:
    """Bytes (proportional set size) and CPU seconds of a process tree, now."""
    total, ticks = 0, 0
    for one in processes_under(pid):
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
        total += int(found[1]) * 1024 if found else 0
        ticks += int(fields[11]) + int(fields[12])
    return total, ticks / os.sysconf("SC_CLK_TCK")


@dataclass
class Pass:
    """What one pass took."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0


def watch(command: Sequence[str]) -> dict[str, Pass]:
    """Run a command that prints `pass: ...` lines; what each pass took. Raises CalledProcessError where it fails."""
    passes: dict[str, Pass] = {}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log)
        before, cpu_before = time.monotonic(), 0.0
        while process.poll() is None:
            time.sleep(0.5)
            memory, cpu = seen(process.pid)
            log.seek(0)
            stage = (log.read().splitlines() or ["start:"])[-1].partition(":")[0]
            here, now = passes.setdefault(stage, Pass()), time.monotonic()
            here.wall_s += now - before
            here.cpu_s += max(cpu - cpu_before, 0)
            here.peak_bytes = max(here.peak_bytes, memory)
            before, cpu_before = now, max(cpu, cpu_before)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return passes


def report(num_rows: int, num_bytes: int, passes: dict[str, Pass]) -> None:
    """A line a pass. A pass is told by its last line of progress, so its last shards may count to the next."""
    total = Pass(sum(p.wall_s for p in passes.values()), sum(p.cpu_s for p in passes.values()))
    total.peak_bytes = max(p.peak_bytes for p in passes.values())
    for name, one in {**passes, "all": total}.items():
        print(
            f"{num_rows:>9,} rows {name:9} {one.wall_s:8.1f} s wall {one.cpu_s:8.1f} s CPU "
            f"{one.cpu_s / num_rows * 1e6:7.1f} us a row  peak {one.peak_bytes / 1e9:5.2f} GB"
        )
    print(
        f"{num_rows:>9,} rows: {num_bytes / 1e9:.2f} GB of text, {num_bytes / 1e6 / total.wall_s:.1f} MB/s of wall time"
    )


def judge(root: Path, num_rows: int) -> None:
    """What came out, and the recall of the planted copies."""
    folder = Path((root / OUT / "decided").read_text())
    table = pl.read_parquet(folder / "*.parquet", columns=["subject", "reason"])
    reasons = dict(table.iter_rows())
    print(dict(Counter(reasons.values()).most_common()))
    base = min(num_rows, BASE_ROWS)
    made, reached = composer(str(root), base), {"passed", "near_duplicate", "over_quota"}
    planted = [(n, made.source_of(n)) for n in range(PLANTED_EVERY - 1, base, PLANTED_EVERY)]
    pairs = [(a + shift, b + shift) for shift in range(0, num_rows, base) for a, b in planted]
    of = [[reasons[f"attempt-{n:032x}"] for n in pair] for pair in pairs]
    asked = [pair for pair in of if set(pair) <= reached]
    found = sum("near_duplicate" in pair for pair in asked)
    print(
        f"planted: {len(pairs):,}, both reach the rule: {len(asked):,}, found {found:,}, recall {found / max(len(asked), 1):.4f}"
    )
    copies = [jaccard(made, *pair) for pair in pairs[:50]]
    print(
        f"similarity of planted pairs: {min(copies):.3f} to {max(copies):.3f}; of pairs of one origin: {kin(made):.3f} at most"
    )


def kin(made: Composer, num_pairs: int = 100) -> float:
    """The largest similarity among some pairs of one origin, none of them a planted copy."""
    by_origin: dict[int, list[int]] = {}
    for number in range(min(made.num_rows, 20_000)):
        if made.source_of(number) == number:
            by_origin.setdefault(made.origin_of(number), []).append(number)
    pairs = [(group[0], group[1]) for group in by_origin.values() if len(group) > 1]
    return max((jaccard(made, *pair) for pair in pairs[:num_pairs]), default=0.0)


def jaccard(made: Composer, left: int, right: int) -> float:
    """Similarity of the sets of 5-word shingles of two rows."""
    sets = []
    for number in (left, right):
        units = plain_words(text_of(Attempt.model_validate(made.row(number)), Aspect.TRANSCRIPT))
        sets.append({tuple(units[k : k + 5]) for k in range(max(len(units) - 4, 1))})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


THEIRS = """
import json, sys, time
from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
from datatrove.utils.hashing import HashConfig
texts = [json.loads(line) for line in open(sys.argv[1])]
config = MinhashConfig(hash_config=HashConfig(precision=64), n_grams=5, num_buckets=14, hashes_per_bucket=8)
step = MinhashDedupSignature(output_folder=sys.argv[2], config=config)
step.get_shingles(texts[0])
start = time.process_time()
step.run((Document(text=text, id=str(n)) for n, text in enumerate(texts)), 0, 1)
print(time.process_time() - start)
"""


def against_datatrove(root: Path, num_rows: int, python: str) -> None:
    """CPU seconds for the signatures of the same texts."""
    made = composer(str(root), num_rows)
    texts = [text_of(Attempt.model_validate(made.row(n)), Aspect.TRANSCRIPT) for n in range(num_rows)]
    (root / "texts.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    column, near = pl.Series(texts), NearDuplicateRecipe()
    sketch(column[:1], near)
    start = time.process_time()
    sketch(column, near)
    ours = time.process_time() - start
    done = subprocess.run(
        [python, "-c", THEIRS, str(root / "texts.jsonl"), str(root / "theirs")],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": "", "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    theirs, size = float(done.stdout.split()[-1]), column.str.len_bytes().sum()
    print(
        f"MinHash of {num_rows:,} texts, {size / 1e6:.0f} MB: {ours:.2f} s CPU ({size / 1e6 / ours:.1f} MB/s), datatrove "
        f"{theirs:.2f} s ({size / 1e6 / theirs:.1f} MB/s), {theirs / ours:.1f} times"
    )


def compose(root: Path, num_rows: int, processes: int) -> None:
    """Write the datasets that the recipe starts from."""
    attempts = write_attempts(root, num_rows, processes)
    folder, manifest = write_dataset(root, "tasks", made_tasks(root, num_rows), Task)
    tasks = RunInput(name="tasks", path=str(folder), content_hash=manifest.content_hash)
    (root / INPUTS).write_text(json.dumps([attempts.plain(), tasks.plain()]))


def measure(root: Path, num_rows: int, args: argparse.Namespace) -> None:
    """Run, report, judge."""
    attempts = RunInput.model_validate(json.loads((root / INPUTS).read_text())[0])
    num_bytes = sum(text_bytes(path) for path in Path(attempts.path).glob("*.parquet"))
    shutil.rmtree(root / OUT, ignore_errors=True)
    command = [sys.executable, __file__, "--measured", str(root), "--processes", str(args.processes)]
    command += ["--memory", str(args.memory), "--items", str(args.items)]
    report(num_rows, num_bytes, watch(command))
    judge(root, num_rows)


def text_bytes(path: Path) -> int:
    """Characters of all messages of a part."""
    file = pq.ParquetFile(path)
    batches = file.iter_batches(1000, columns=["messages.list.element.content"])
    return sum(
        pl.DataFrame(batch)["messages"].explode().struct.field("content").str.len_bytes().sum() for batch in batches
    )


def prepared(root: Path, num_rows: int, args: argparse.Namespace) -> Path:
    """The folder of so many rows; what was composed there before is used again."""
    root.mkdir(parents=True, exist_ok=True)
    if not (root / INPUTS).is_file():
        choose_origins(args.recorded, root)
        if not args.against:
            compose(root, num_rows, args.processes)
    return root


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recorded", type=Path, help="folder of logs")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--memory", type=int, default=6_000_000_000, help="bytes")
    parser.add_argument("--items", type=int, default=5000, help="evaluation questions")
    parser.add_argument(
        "--work", type=Path, help="folder for data, about 25 kB a row, which stays; default: a temporary one"
    )
    parser.add_argument("--compose", action="store_true", help="write the trajectories only, for a later call")
    parser.add_argument("--against", nargs=2, metavar=("datatrove", "PYTHON"))
    parser.add_argument("--measured", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measured:
        run_recipe(args.measured, args.processes, args.memory, args.items)
        return
    with scratch_folder(Path(tempfile.gettempdir())) as scratch:
        for num_rows in args.rows:
            root = prepared((args.work or scratch) / str(num_rows), num_rows, args)
            if args.compose:
                continue
            if args.against:
                against_datatrove(root, num_rows, args.against[1])
            else:
                measure(root, num_rows, args)
            if not args.work:
                shutil.rmtree(root)


if __name__ == "__main__":
    main()
