"""Rows that were read one by one, and how well the rules say what the reader says."""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from data_contracts.overlaps import Overlap
from pipelines.curation.contamination import attempt_overlaps, index_of, task_overlaps, worst
from pipelines.curation.decontamination import DecontaminationRecipe
from pipelines.curation.recipes import Narration, SftDataRecipe
from pipelines.curation.rules import RULES, Case
from pipelines.sources.importers import Imported, read_folder
from pipelines.sources.suites import suite_items

VERDICTS = Path(__file__).parent / "read" / "verdicts.jsonl"
ALL_ON = SftDataRecipe(
    max_trimmed_tokens=0,
    max_error_ratio=0.5,
    drop_unrecovered_errors=True,
    max_repeats=0,
    max_no_op_calls=0,
    needs_grounded_answer=True,
    drop_machine_paths=True,
    narrations=(Narration.MARKUP, Narration.JSON),
)
SUITES = (
    "aime24",
    "aime25",
    "amc23",
    "code_contests_test",
    "gsm8k_test",
    "gsm_hard",
    "humaneval",
    "intercode_bash",
    "intercode_sql_spider_dev",
    "math500",
    "math_test",
    "mbpp",
    "minerva_math",
    "olymmath_en_easy",
    "olymmath_en_hard",
    "olympiadbench_en_text",
    "svamp",
)
"""The recorded evaluation items that are single questions: those of BFCL and tau2 are not."""
Z = 1.959964


@dataclass(frozen=True)
class Read:
    """A row of verdicts.jsonl."""

    rule: str
    source_ref: str
    stratum: str
    """Drawn from the rows that broke the rule when they were drawn (hit), that broke it until it was mended (mended) or
    since (added), that came close (near), or from all others (other); or from those that a mend of the rule added (mend),
    which lie in strata read before and tell only of precision; or drawn anew from all hits (again). Hits of MINT where
    it has most of them (mint): the others are then the hits (hit). Of ungrounded_answer also from what nobody had read at
    version 4: of its hits, 100 (fresh) that served to mend it, 100 (fresh2) of which three did, and all others (last); of
    the rest, half from MINT, those whose answer stands only in part in the results (close) and those that do not come
    close (rest). Behind a comma: the source or trap that is drawn from by itself."""
    of: int
    """Rows in the stratum; 0 where they lie in others too, so that they count in precision alone."""
    broken: bool
    """What the reader says."""
    why: str


@dataclass(frozen=True)
class Figures:
    """How well one rule does on the rows read."""

    num_read: int
    true_hits: int
    hits: int
    misses: tuple[Read, ...]
    recall: float
    """Strata weighted by their sizes."""

    def line(self, rule: str) -> str:
        """A line of the table in docs/rules.md."""
        low, high = wilson(self.true_hits, self.hits)
        precision = f"{self.true_hits}/{self.hits} [{low:.2f}, {high:.2f}]"
        return f"| {rule} | {self.num_read} | {precision} | {len(self.misses)} | {self.recall:.2f} |"


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    if not trials:
        return 0.0, 1.0
    p, n, z2 = successes / trials, trials, Z * Z
    middle, half = p + z2 / (2 * n), Z * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max((middle - half) / (1 + z2 / n), 0.0), min((middle + half) / (1 + z2 / n), 1.0)


def verdicts() -> list[Read]:
    """By rule."""
    return sorted((Read(**json.loads(line)) for line in VERDICTS.read_text().splitlines()), key=lambda row: row.rule)


def recorded_items(folder: Path) -> dict[str, str]:
    """The evaluation items of SUITES, name: text."""
    return {item.name: item.text for suite in SUITES for item in suite_items(folder / f"{suite}.jsonl.gz")}


def cases_of(refs: Iterable[str], logs: Path, folder: Path, items: Mapping[str, str]) -> dict[str, Case]:
    """Cases by `file:line`. Only these lines are imported, from a copy in `folder` that holds nothing else."""
    wanted: defaultdict[str, list[int]] = defaultdict(list)
    for ref in sorted({ref.partition("#")[0] for ref in refs}):
        file, _, line = ref.rpartition(":")
        wanted[file].append(int(line))
    places = {}
    for file, numbers in wanted.items():
        numbers.sort()
        places |= {f"{file.removesuffix('.gz')}:{k}": f"{file}:{n}" for k, n in enumerate(numbers, start=FIRST)}
        copy_lines(logs / file, numbers, folder / file.removesuffix(".gz"))
    found = [row for row in read_folder(folder) if isinstance(row, Imported)]
    held = _held(found, items)
    return {_ref(row.attempt.source_ref, places): _case(row, held) for row in found}


def _held(rows: Sequence[Imported], items: Mapping[str, str]) -> dict[str, tuple[Overlap, ...]]:
    """What attempts and tasks hold of the items, by key."""
    index, tasks = index_of(items, DecontaminationRecipe()), {row.task.key: row.task for row in rows}
    return worst([*attempt_overlaps((row.attempt for row in rows), index), *task_overlaps(tasks.values(), index)])


def _case(row: Imported, held: Mapping[str, tuple[Overlap, ...]]) -> Case:
    return Case(row.attempt, row.task.tools, held.get(row.attempt.key) or held.get(row.task.key) or ())


FIRST = 1
"""Importers count lines from 1."""


def copy_lines(log: Path, numbers: Sequence[int], copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    kept = set(numbers)
    with gzip.open(log, "rt") as lines:
        copy.write_text("".join(line for n, line in enumerate(lines, start=FIRST) if n in kept))


def _ref(ref: str, places: dict[str, str]) -> str:
    place, mark, part = ref.partition("#")
    return places[place] + mark + part


def figures(rule_name: str, rows: Sequence[Read], cases: dict[str, Case]) -> Figures:
    (rule,) = (rule for rule in RULES if rule.name == rule_name)
    hit = {row: rule.ask(cases[row.source_ref], ALL_ON) is not None for row in rows}
    found = missed = 0.0
    for stratum in sorted({row.stratum for row in rows}):
        drawn = [row for row in rows if row.stratum == stratum]
        weight = drawn[0].of / len(drawn)
        found += weight * sum(row.broken and hit[row] for row in drawn)
        missed += weight * sum(row.broken and not hit[row] for row in drawn)
    return Figures(
        num_read=len(rows),
        true_hits=sum(row.broken for row in rows if hit[row]),
        hits=sum(hit.values()),
        misses=tuple(row for row in rows if row.broken and not hit[row]),
        recall=found / (found + missed),
    )
