"""Does RL find what SFT cannot? Paired seeds of the embedded walk, each with two controls.

    python benchmarks/controls.py --out DIR --seeds 0 1 2 3 4 --workers 2

Per seed, everything is drawn anew: tasks, teacher, initial weights, data order, samples. Evaluated on the same held-out
tasks of that seed: base, SFT, SFT with the tool disabled, SFT with a tool that is off by one, RL, and two controls that
start where RL starts:
  sft, continued   the same SFT data and recipe for as much process time as RL took (sampling included)
  rl, shuffled     the same RL with the rewards of each step dealt to its attempts at random
Run again, it goes on where it was. The last lines are t-intervals over seeds of accuracies and paired differences.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from data_contracts.ids import canonical_json
from data_contracts.manifests import EvaluationRow, RunInput, RunKind, RunResult, RunSpec
from data_contracts.storage import read_dataset, write_bytes
from pipelines.store import Store
from rollout.statistics import paired_t_interval, t_interval

SEEDED = ("tasks", "teacher", "init", "sft", "difficulty", "rl", "evaluation")
ONE_THREAD = ("sft.threads=1", "rl.threads=1", "difficulty.engine.num_threads=1", "evaluation.engine.num_threads=1")
"""Several seeds share the cores."""
CONTINUED, SHUFFLED, OFFSET = "sft, continued", "rl, shuffled rewards", "sft, tool off by one"
PAIRS = (("rl", "sft"), ("rl", CONTINUED), ("rl", SHUFFLED), ("sft", "base"), ("sft", "sft, tool disabled"))
GROUPS = ("all", "common", "scarce")


def environment(folder: Path) -> dict[str, str]:
    """One thread; data and Dagster's state in the seed's own folder."""
    own = {"TOOLPATH_DATA": str(folder / "data"), "DAGSTER_HOME": str(folder / "dagster"), "OMP_NUM_THREADS": "1"}
    return os.environ | own


def walk(folder: Path, seed: int, overrides: Sequence[str]) -> None:
    """`toolpath run` with everything seeded by `seed`."""
    folder.mkdir(parents=True, exist_ok=True)
    sets = [f"{table}.seed={seed}" for table in SEEDED] + [*ONE_THREAD, *overrides]
    command = [sys.executable, "-m", "pipelines.cli", "run", *(word for s in sets for word in ("--set", s))]
    with (folder / "walk.log").open("a") as log:
        subprocess.run(command, env=environment(folder), stdout=log, stderr=subprocess.STDOUT, check=True)


def spec_of(checkpoint: RunInput) -> RunSpec:
    """The spec of the run that wrote a checkpoint."""
    return RunSpec.from_json((Path(checkpoint.path).parent / "spec.json").read_text())


def changed(spec: RunSpec, folder: Path, inputs: dict[str, RunInput], **recipe: Any) -> RunSpec:
    """The spec with other inputs and recipe values, and an output folder named after its identity."""
    new = spec.model_copy(
        update={
            "recipe": canonical_json(json.loads(spec.recipe) | recipe),
            "inputs": tuple(inputs.get(i.name, i).model_copy(update={"name": i.name}) for i in spec.inputs),
        }
    )
    return new.model_copy(update={"output": str(folder / "controls" / f"{new.kind.value}-{new.identity[:12]}")})


def run(spec: RunSpec, folder: Path) -> dict[str, RunInput]:
    """Run a spec as a process of its own; returns its outputs, paths absolute."""
    module = "rollout" if spec.kind in (RunKind.SAMPLE, RunKind.EVALUATE) else "trainer"
    path = Path(spec.output) / "spec.json"
    write_bytes(path, spec.canonical().encode())
    command = [sys.executable, "-m", module, spec.kind.value, "--spec", str(path)]
    with (folder / "controls.log").open("a") as log:
        subprocess.run(command, env=environment(folder), stderr=log, stdout=log, check=True)
    result = RunResult.from_json((Path(spec.output) / "result.json").read_text())
    return {o.name: o.model_copy(update={"path": str(Path(spec.output) / o.path)}) for o in result.outputs}


def metrics_of(spec: RunSpec) -> dict[str, Any]:
    """The summary numbers of a finished run."""
    found: dict[str, Any] = json.loads(RunResult.from_json((Path(spec.output) / "result.json").read_text()).metrics)
    return found


def continued(sft: RunSpec, rl: RunSpec, start: RunInput, folder: Path) -> RunSpec:
    """More of the same SFT, from its end, for RL's process time."""
    per_step = metrics_of(sft)["cpu_seconds"] / metrics_of(sft)["steps"]
    steps = round(metrics_of(rl)["cpu_seconds"] / per_step)
    return changed(sft, folder, {"checkpoint": start}, max_steps=steps, min_steps=0, eval_every=0)


def evaluations(store: Store) -> dict[str, RunSpec]:
    """The walk's own evaluation runs, by label."""
    specs = [RunSpec.from_json(p.read_text()) for p in (store.root / "runs").glob("evaluate-*/spec.json")]
    return {json.loads(spec.recipe)["label"]: spec for spec in specs}


def one_seed(out: Path, seed: int, overrides: Sequence[str]) -> list[EvaluationRow]:
    """All evaluation rows of a seed."""
    folder = out / f"seed-{seed}"
    walk(folder, seed, overrides)
    store = Store(folder / "data")
    rows = store.read(store.latest("evaluation_report"), EvaluationRow)
    start = store.input("checkpoint", "sft_checkpoint")
    rl = spec_of(store.latest("rl_checkpoint"))
    controls = {
        CONTINUED: continued(spec_of(start), rl, start, folder),
        SHUFFLED: changed(rl, folder, {}, shuffle_rewards=True),
    }
    with ThreadPoolExecutor(len(controls)) as pool:
        done = pool.map(lambda spec: run(spec, folder)["checkpoint"], controls.values())
        ends = dict(zip(controls, done, strict=True))
    own = evaluations(store)["rl"]
    specs = [changed(own, folder, {"checkpoint": end}, label=label) for label, end in ends.items()]
    specs.append(changed(own, folder, {"checkpoint": start}, label=OFFSET, tool_variant="offset"))
    for spec in specs:
        report = run(spec, folder)["report"]
        rows += read_dataset(Path(report.path), EvaluationRow, report.content_hash)
    return rows


def accuracies(rows: Sequence[EvaluationRow]) -> dict[tuple[str, str], float]:
    """By (label, group)."""
    return {(r.label, r.domain): r.accuracy.mean for r in rows if r.accuracy.mean is not None}


def table(seeds: dict[int, list[EvaluationRow]]) -> str:
    """Accuracies with t-intervals over seeds, then paired differences, as Markdown."""
    by_seed = {seed: accuracies(rows) for seed, rows in seeds.items()}
    domains = sorted({domain for found in by_seed.values() for _, domain in found} - set(GROUPS))
    labels = list(dict.fromkeys(label for found in by_seed.values() for label, _ in found))
    columns = [*GROUPS, *domains]
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]

    def shown(interval: Any) -> str:
        return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"

    for label in labels:
        cells = [shown(t_interval([found[label, c] for found in by_seed.values()])) for c in columns]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    for after, before in PAIRS:
        cells = [
            shown(paired_t_interval([f[after, c] for f in by_seed.values()], [f[before, c] for f in by_seed.values()]))
            for c in columns
        ]
        lines.append(f"| **{after} − {before}** | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run the seeds, then print and store the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--workers", type=int, default=1, help="seeds at a time; one thread each")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="STAGE.KEY=VALUE")
    args = parser.parse_args()
    out = args.out.resolve()
    with ThreadPoolExecutor(args.workers) as pool:
        found = list(pool.map(lambda seed: one_seed(out, seed, args.overrides), args.seeds))
    seeds = dict(zip(args.seeds, found, strict=True))
    rows = {str(seed): [row.plain() for row in rows] for seed, rows in seeds.items()}
    write_bytes(out / "rows.json", canonical_json(rows).encode())
    if len(seeds) > 1:
        write_bytes(out / "table.md", table(seeds).encode())
        print(table(seeds))


if __name__ == "__main__":
    main()
