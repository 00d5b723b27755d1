"""RL methods side by side over paired seeds: curves of accuracy, reward, entropy and call success, and their end.

    python -m benchmarks.methods --walk DATA --out DIR --methods grpo_t grpo_tcr tao --steps 200 --seeds 0 1 2 3 4 \
        --workers 2 --plot curves.png

Every run starts from the SFT checkpoint of a finished walk (DATA is its data folder, e.g. `data`) and trains on its RL
dataset with the values of its [rl] table, but for the method, the steps and `--set`. Runs of one seed draw the same tasks in
the same order while their filters keep alike. One thread a process. Run again, it goes on where it was.

Prints, for the mean of the last steps: t-intervals over seeds, then paired differences of all methods from the first.
"""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.controls import changed, run, spec_of
from data_contracts.manifests import RunSpec
from pipelines.store import Store
from rollout.statistics import paired_t_interval, t_interval
from trainer.methods import METHODS
from trainer.metrics import read_metrics

FIGURES = ("accuracy", "reward", "entropy", "entropy_after_tool", "call_success")
Curves = dict[tuple[str, int], list[dict[str, float | None]]]
"""Logged figures of each step, by method and seed."""


def spec_for(base: RunSpec, folder: Path, method: str, seed: int, changes: dict[str, object]) -> RunSpec:
    """The walk's RL run with another method and seed; what the method decides is not taken from the walk."""
    own = {key: value for key, value in json.loads(base.recipe).items() if key not in METHODS[method]}
    kept = {
        "overlong_cache_tokens": json.loads(base.recipe).get("overlong_cache_tokens", 0)
    }  # as long as answers are here
    plain = base.model_copy(update={"recipe": json.dumps(own), "seed": seed})
    return changed(plain, folder, {}, method=method, **kept, **changes)


def curve(
    base: RunSpec, out: Path, changes: dict[str, object], run_of: tuple[str, int]
) -> list[dict[str, float | None]]:
    """Train; returns the figures of every step."""
    method, seed = run_of
    folder = out / f"{method}-{seed}"
    spec = spec_for(base, folder, method, seed, changes)
    run(spec, folder)
    return read_metrics(Path(spec.output))


def end(steps: Sequence[dict[str, float | None]], figure: str, last: int) -> float:
    """Mean of a figure over the last steps that measured it."""
    return fmean(value for step in steps[-last:] if (value := step[figure]) is not None)


def table(curves: Curves, methods: Sequence[str], seeds: Sequence[int], last: int) -> str:
    """Means of the last steps with t-intervals over seeds, then paired differences from the first method, as Markdown."""
    ends = {(m, f): [end(curves[m, s], f, last) for s in seeds] for m in methods for f in FIGURES}
    lines = ["| | " + " | ".join(FIGURES) + " |", "|---" * (len(FIGURES) + 1) + "|"]
    rows = [(m, [t_interval(ends[m, f]) for f in FIGURES]) for m in methods]
    first = methods[0]
    rows += [
        (f"**{m} − {first}**", [paired_t_interval(ends[m, f], ends[first, f]) for f in FIGURES]) for m in methods[1:]
    ]
    for name, intervals in rows:
        lines.append(f"| {name} | " + " | ".join(f"{i.mean:.3f} [{i.low:.3f}, {i.high:.3f}]" for i in intervals) + " |")
    return "\n".join(lines)


def smoothed(values_SK: np.ndarray, width: int) -> np.ndarray:
    """Moving mean over the steps that measured it, by seed; a step whose groups were all dropped has no update."""
    windows_SWK = np.lib.stride_tricks.sliding_window_view(values_SK, width, axis=1)
    means_SW: np.ndarray = np.nanmean(windows_SWK, axis=2)
    return means_SW


def plot(curves: Curves, methods: Sequence[str], seeds: Sequence[int], path: Path, width: int = 10) -> None:
    """One panel a figure: mean over seeds of the moving mean over `width` steps, and its 95 % t-interval."""
    from matplotlib.figure import Figure

    shown = ("accuracy", "reward", "entropy", "call_success")
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    for axes, name in zip(figure.subplots(2, 2).flat, shown, strict=True):
        for method in methods:
            values = np.array([[step[name] for step in curves[method, s]] for s in seeds], float)
            low, mean, high = bands(smoothed(values, width))
            steps = np.arange(len(mean)) + width
            (line,) = axes.plot(steps, mean, label=method)
            axes.fill_between(steps, low, high, alpha=0.15, color=line.get_color(), linewidth=0)
        axes.set(title=name.replace("_", " "), xlabel="step")
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    figure.savefig(path, dpi=110)


def bands(values_SK: np.ndarray) -> tuple[list[float], list[float], list[float]]:
    """Lower bound, mean and upper bound over seeds, by step."""
    intervals = [t_interval(column.tolist()) for column in values_SK.T]
    return [i.low for i in intervals], [i.mean for i in intervals], [i.high for i in intervals]


def main() -> None:
    """Run everything, then print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--walk", type=Path, required=True, help="data folder of a finished walk")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=["grpo_t", "grpo_tcr", "tao"], choices=sorted(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--last", type=int, default=20, help="steps that the table's means are taken over")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON", help="of the [rl] table")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    changes = {key: json.loads(value) for key, value in (change.split("=", 1) for change in args.set)}
    changes |= {"max_steps": args.steps, "threads": 1, "save_every": 20}
    base = spec_of(Store(args.walk.resolve()).latest("rl_checkpoint"))
    runs = list(product(args.methods, args.seeds))
    with ThreadPoolExecutor(args.workers) as pool:
        found = list(pool.map(partial(curve, base, args.out.resolve(), changes), sorted(runs, key=lambda run: run[1])))
    curves = dict(zip(sorted(runs, key=lambda run: run[1]), found, strict=True))
    if len(args.seeds) > 1:
        print(table(curves, args.methods, args.seeds, args.last))
    if args.plot:
        plot(curves, args.methods, args.seeds, args.plot)


if __name__ == "__main__":
    main()
