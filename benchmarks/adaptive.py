"""How many attempts does adaptive sampling save, and how many verdicts does it get wrong? Beside fixed k at the same cost.

    python benchmarks/adaptive.py --samples DIR --plot docs/images/adaptive.png

Verdicts (never, sometimes, always right) are those of all k = 8 attempts. Students:
  published        simulated: 30 % of the tasks never, 17 % always solved in 8 attempts, 53 % between (arXiv 2510.11701);
                   pass rates between are uniform
  codet, qwen      real outcomes: CodeGen-16B on HumanEval (8 drawn of 100 samples a task), Qwen2.5-Math on MATH (8)
  codet*, qwen*    the same, tasks drawn again so that the verdicts have the published shares
Each row is the mean over seeds (tasks, draws and order of outcomes) with its t-interval. DIR holds the `samples_no_tools` of
the shared data; without it only the simulated student is run.

"best" is what no rule can beat: it knows how many tasks of the student have how many right outcomes, though not which. All
that a rule can see of an open task is its number of equal outcomes, so it is a pair (after how many wrong ones, after how
many right ones it leaves a task), or a mixture of pairs; the best is a linear program over these, in expectation over the
order of outcomes.
"""

import argparse
import gzip
import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from math import comb, isnan, nan
from pathlib import Path
from random import Random

import numpy as np
from scipy.optimize import linprog

from rollout.adaptive import Solved, open_tasks, verdict
from rollout.statistics import t_interval

K = 8
SHARES = {Solved.NEVER: 0.30, Solved.ALWAYS: 0.17, Solved.SOMETIMES: 0.53}
NUM_TASKS = 2000
ERRORS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2)
NUM_SEEDS = 5
BOUNDS = ((0.62, 0.9), (0.72, 0.0))
"""Largest cost and least recall of the rules that `best` looks among."""

Task = Sequence[bool]
"""The outcomes of K attempts."""
Figures = tuple[float, float, float]
"""Share of the attempts made, share of the verdicts that are right, share of the SOMETIMES that are found."""


def of_all(task: Task) -> Solved:
    """The verdict of all K attempts."""
    return verdict(K, sum(task))


def to_published_shares(pool: Sequence[Task], rng: Random) -> list[Task]:
    """NUM_TASKS tasks of the pool, drawn with replacement, whose verdicts have the published shares."""
    by_verdict = {v: [task for task in pool if of_all(task) is v] for v in SHARES}
    return [rng.choice(by_verdict[v]) for v, share in SHARES.items() for _ in range(round(share * NUM_TASKS))]


def simulated(rng: Random) -> list[Task]:
    """Students whose pass rates are 0, 1 or uniform."""
    rates = [0.0] * NUM_TASKS + [1.0] * NUM_TASKS + [rng.random() for _ in range(4 * NUM_TASKS)]
    return to_published_shares([[rng.random() < p for _ in range(K)] for p in rates], rng)


def recorded(outcomes: Sequence[Sequence[bool]], rng: Random) -> list[Task]:
    """K outcomes of each task, in random order."""
    return [rng.sample(list(task), K) for task in outcomes]


def read_codet(folder: Path) -> list[list[bool]]:
    """100 outcomes a task."""
    with gzip.open(folder / "codet_humaneval_codegen16b_n100.jsonl.gz") as file:
        return [[result == "pass" for result in json.loads(line)["_exec"]] for line in file]


def read_qwen(folder: Path) -> list[list[bool]]:
    """8 outcomes a task."""
    with gzip.open(folder / "qwen25math_math100_cot_n8_rm.jsonl.gz") as file:
        return [list(map(bool, json.loads(line)["score"])) for line in file]


def students(folder: Path | None) -> dict[str, Callable[[Random], list[Task]]]:
    """By name, what draws the tasks of a student."""
    found: dict[str, Callable[[Random], list[Task]]] = {"published": simulated}
    for name, read in (("codet", read_codet), ("qwen", read_qwen)) if folder else ():
        outcomes = read(folder)
        found[name] = lambda rng, o=outcomes: recorded(o, rng)
        found[f"{name}*"] = lambda rng, o=outcomes: to_published_shares(
            [task for _ in range(20) for task in recorded(o, rng)], rng
        )
    return found


def adaptive(tasks: Sequence[Task], error: float, first: int = 1) -> Figures:
    """The rule, one attempt at a time."""
    counts = {str(i): (first, sum(task[:first])) for i, task in enumerate(tasks)}
    while asked := open_tasks(counts, K, error):
        for key in asked:
            n = counts[key][0] + 1
            counts[key] = (n, sum(tasks[int(key)][:n]))
    return figures(tasks, [counts[str(i)] for i in range(len(tasks))])


def fixed(tasks: Sequence[Task], k: int) -> Figures:
    """The first k attempts at every task."""
    return figures(tasks, [(k, sum(task[:k])) for task in tasks])


def figures(tasks: Sequence[Task], counts: Sequence[tuple[int, int]]) -> Figures:
    """What the counts cost and say."""
    right = [verdict(*pair) is of_all(task) for pair, task in zip(counts, tasks, strict=True)]
    between = [ok for ok, task in zip(right, tasks, strict=True) if of_all(task) is Solved.SOMETIMES]
    return sum(n for n, _ in counts) / (K * len(tasks)), sum(right) / len(right), sum(between) / max(len(between), 1)


def expected(task: tuple[int, int], stop: tuple[int, int]) -> Figures:
    """(attempts / K, P(right verdict), P(found to be SOMETIMES)) of a task with (wrong, right) outcomes in random order, left
    after stop[0] wrong or stop[1] right ones."""
    alike = [[comb(number, n) / comb(K, n) for n in range(K + 1)] for number in task]
    attempts = 1 + sum(sum(row[1:end]) for row, end in zip(alike, stop, strict=True))
    missed = sum(row[end] for row, end in zip(alike, stop, strict=True)) if all(task) else 0.0
    return attempts / K, 1 - missed, 1 - missed if all(task) else 0.0


def best(tasks: Sequence[Task], max_cost: float, min_recall: float) -> Figures:
    """The most right verdicts that any rule can expect within a cost and with a recall; nan where there is no such rule."""
    pairs = list(product(range(1, K + 1), repeat=2))
    kinds = Counter((K - sum(task), sum(task)) for task in tasks)
    between = sum(number for kind, number in kinds.items() if all(kind))
    sums_P3 = np.array(
        [sum(number * np.array(expected(kind, pair)) for kind, number in kinds.items()) for pair in pairs]
    )
    cost_P, right_P, recall_P = (sums_P3 / [len(tasks), len(tasks), max(between, 1)]).T
    found = linprog(
        -right_P, A_ub=[cost_P, -recall_P], b_ub=[max_cost, -min_recall], A_eq=[np.ones(len(pairs))], b_eq=[1.0]
    )
    if not found.success:
        return nan, nan, nan
    return float(found.x @ cost_P), float(found.x @ right_P), float(found.x @ recall_P)


def over_seeds(draw: Callable[[Random], list[Task]], measure: Callable[[Sequence[Task]], Figures]) -> list[str]:
    """Mean and half-width of the t-interval of each figure; where a seed has none, how many have."""
    rows = [measure(draw(Random(seed))) for seed in range(NUM_SEEDS)]
    if lacking := sum(isnan(row[0]) for row in rows):
        return [f"none for {lacking} of {NUM_SEEDS} seeds"] * 3
    intervals = [t_interval([row[i] for row in rows]) for i in range(3)]
    return [f"{one.mean:.3f} ± {one.high - one.mean:.3f}" for one in intervals]


def table(found: dict[str, Callable[[Random], list[Task]]]) -> list[str]:
    """Markdown."""
    lines = ["| student | rule | attempts | right verdicts | recall of sometimes |", "|---|---|---|---|---|"]
    for name, draw in found.items():
        rules = {f"adaptive, error {e:g}": (lambda tasks, e=e: adaptive(tasks, e)) for e in ERRORS}
        rules |= {f"fixed k = {k}": (lambda tasks, k=k: fixed(tasks, k)) for k in range(2, K + 1)}
        rules |= {f"best within {c:g}": (lambda tasks, c=c, r=r: best(tasks, c, r)) for c, r in BOUNDS}
        lines += [f"| {name} | {rule} | " + " | ".join(over_seeds(draw, m)) + " |" for rule, m in rules.items()]
    return lines


def plot(found: dict[str, Callable[[Random], list[Task]]], path: Path) -> None:
    """Right verdicts over cost: the rule's curve and fixed k, for one seed of each student."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0 * len(found), 3.4), dpi=110, layout="constrained")
    for axes, (name, draw) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        tasks = draw(Random(0))
        for label, points in (
            ("adaptive", [adaptive(tasks, error) for error in ERRORS]),
            ("fixed k", [fixed(tasks, k) for k in range(2, K + 1)]),
        ):
            axes.plot([p[0] for p in points], [p[1] for p in points], marker="o", label=label)
        axes.set(title=name, xlabel="share of 8 attempts a task", ylabel="right verdicts")
        axes.legend(frameon=False)
    figure.savefig(path)


def main() -> None:
    """Print the table; write the plot where one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, help="folder with the recorded outcomes")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    found = students(args.samples)
    print("\n".join(table(found)))
    if args.plot:
        plot(found, args.plot)


if __name__ == "__main__":
    main()
