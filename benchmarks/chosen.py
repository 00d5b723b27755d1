"""What a chosen subset is worth beside its controls: diversity, coverage, near-duplicates; and difficulty beside its target.

    python benchmarks/chosen.py --recorded DIR --sources mathcoder tora verifiers --rows 1000

DIR holds recorded logs, a folder a source. *random, raw*: so many of the right attempts with a call, nothing else
filtered. *random*, *narrow*, and the two ways of choosing: so many of those that the recipe's rules and near-duplicates
leave. Vendi score and coverage (mean distance to the nearest chosen row, and the share of rows within RADIUS) are taken
with vectors that no way of choosing has seen: characters, not words. Controls are means over SEEDS with t-intervals. Then, with
--samples DIR (`samples_no_tools` of the same data), CodeGen-16B's pass rates on HumanEval (100 samples a task), resampled
to the published histogram of difficulty (arXiv 2510.11701), beside as many tasks at random.
"""

import argparse
import gzip
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from data_contracts.attempts import Attempt
from pipelines.curation.choice import BudgetRecipe, Method
from pipelines.curation.diversity import coverage, vendi_score
from pipelines.curation.hashing_vectoriser import HashingVectoriser
from pipelines.curation.histogram import Bucket, histogram, to_histogram
from pipelines.curation.near_duplicates import NearDuplicateRecipe, find_near_duplicates
from pipelines.curation.recipes import SftDataRecipe
from pipelines.curation.selection import select_sft
from pipelines.curation.texts import Aspect, texts_of
from pipelines.sources.importers import Imported, read_folder
from rollout.statistics import t_interval

SEEDS = range(5)
RADIUS = 1.0
NEAR = NearDuplicateRecipe()
PLAIN = SftDataRecipe(drop_duplicates=False, min_item_share=None)
PUBLISHED = {Bucket.HARD: 0.257, Bucket.MEDIUM: 0.372, Bucket.EASY: 0.371}
JUDGE = HashingVectoriser(word_sizes=(), character_sizes=(4,))


@dataclass(frozen=True)
class Worth:
    """The figures of one subset."""

    rows: int
    vendi: float
    vendi_calls: float
    mean_distance: float
    share_within: float
    near_duplicates: int


def attempts_of(folder: Path, sources: Iterable[str]) -> list[Attempt]:
    """The attempts of some folders, each key once."""
    read = (row for source in sources for row in read_folder(folder / source))
    return list({row.attempt.key: row.attempt for row in read if isinstance(row, Imported)}.values())


def worth(chosen: Sequence[Attempt], whole_ND: np.ndarray, judge: HashingVectoriser) -> Worth:
    """What the subset is worth as a stand-in for the whole."""
    texts = texts_of(chosen, Aspect.TRANSCRIPT)
    vectors, calls = judge.embed(texts), HashingVectoriser().embed(texts_of(chosen, Aspect.CALLS))
    seen = coverage(whole_ND, vectors, RADIUS)
    keys = pl.Series([attempt.key for attempt in chosen])
    table = find_near_duplicates(keys, texts, NEAR)
    gone = int((table["key"] != table["representative"]).sum())
    return Worth(len(chosen), vendi_score(vectors), vendi_score(calls), seen.mean_distance, seen.share_within, gone)


def chosen_by(attempts: Sequence[Attempt], budget: BudgetRecipe, rules: SftDataRecipe) -> list[Attempt]:
    """The rows that a recipe with this budget keeps."""
    return select_sft(attempts, rules.model_copy(update={"budget": budget}))[0]


def line(name: str, found: Sequence[Worth]) -> str:
    """A row of the table: means, and intervals where there are several seeds."""

    def figure(field: str) -> str:
        values = [float(getattr(one, field)) for one in found]
        if len(set(values)) == 1:
            return f"{values[0]:.3g}"
        interval = t_interval(values)
        return f"{interval.mean:.3g} [{interval.low:.3g}, {interval.high:.3g}]"

    fields = ("vendi", "vendi_calls", "mean_distance", "share_within", "near_duplicates")
    return f"| {name} | {found[0].rows} | " + " | ".join(figure(field) for field in fields) + " |"


def print_choices(attempts: Sequence[Attempt], num_rows: int) -> None:
    """The table of subsets."""
    rules = SftDataRecipe(near_duplicates=NEAR, min_item_share=None)
    left = select_sft(attempts, rules)[0]
    texts = texts_of(left, Aspect.TRANSCRIPT)
    judge = JUDGE.fitted(texts)
    whole_ND = judge.embed(texts)
    print(f"{len(attempts)} attempts, {len(left)} left by the rules; {num_rows} of them:\n")
    print("| chosen | rows | Vendi | Vendi of calls | mean distance | within radius | near-duplicates |")
    print("|---|---|---|---|---|---|---|")
    for name, method, recipe in (
        ("random, raw", Method.RANDOM, PLAIN),
        ("random", Method.RANDOM, rules),
        ("narrow", Method.NARROW, rules),
    ):
        budgets = [BudgetRecipe(max_rows=num_rows, method=method, seed=seed) for seed in SEEDS]
        chosen = [chosen_by(attempts, budget, recipe) for budget in budgets]
        print(line(name, [worth(rows, whole_ND, judge) for rows in chosen]), flush=True)
    for method, most in ((Method.K_CENTER, 1.0), *((Method.FACILITY_LOCATION, most) for most in (1.0, 0.4, 0.35, 0.3))):
        budget = BudgetRecipe(max_rows=num_rows, method=method, max_similarity=most, seed=0)
        name = method.value if most == 1 else f"{method.value}, max_similarity {most}"
        print(line(name, [worth(chosen_by(attempts, budget, rules), whole_ND, judge)]), flush=True)


def print_histogram(folder: Path) -> None:
    """Difficulties before and after resampling, beside the target."""
    lines = gzip.decompress((folder / "codet_humaneval_codegen16b_n100.jsonl.gz").read_bytes()).splitlines()
    samples = [json.loads(line) for line in lines]
    rates = {row["prompt"]: sum(verdict == "pass" for verdict in row["_exec"]) / len(row["_exec"]) for row in samples}
    mixed = {task: rate for task, rate in rates.items() if 0 < rate < 1}
    chosen = to_histogram(mixed, PUBLISHED)
    before, after = shares(mixed), shares({task: mixed[task] for task in chosen})
    print(f"\n{len(rates)} tasks, {len(mixed)} solved sometimes, {len(chosen)} after resampling\n")
    print("| bucket | before | after | target |\n|---|---|---|---|")
    for bucket, share in PUBLISHED.items():
        print(f"| {bucket} | {before[bucket]:.3f} | {after[bucket]:.3f} | {share} |")
    draws = [random.Random(seed).sample(sorted(mixed), len(chosen)) for seed in SEEDS]
    at_random = t_interval([off_target(shares({task: mixed[task] for task in draw})) for draw in draws])
    print(
        f"\nlargest distance from the target: {off_target(after):.4f}; of as many tasks at random {at_random.mean:.3f} "
        f"[{at_random.low:.3f}, {at_random.high:.3f}]"
    )


def shares(rates: Mapping[str, float]) -> dict[Bucket, float]:
    """Of the tasks, by bucket."""
    return {bucket: count / len(rates) for bucket, count in histogram(rates).items()}


def off_target(found: Mapping[Bucket, float]) -> float:
    """The largest difference of a bucket's share from the target's."""
    return max(abs(found[bucket] - share) for bucket, share in PUBLISHED.items())


def main() -> None:
    """Read, choose, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recorded", type=Path, required=True)
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--sources", nargs="+", default=["mathcoder", "tora", "verifiers", "intercode", "tau1"])
    parser.add_argument("--rows", type=int, default=1000)
    args = parser.parse_args()
    attempts = attempts_of(args.recorded, args.sources)
    print_choices(attempts, args.rows)
    if args.samples is not None:
        print_histogram(args.samples)


if __name__ == "__main__":
    main()
