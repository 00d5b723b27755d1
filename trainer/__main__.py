"""`python -m trainer init|sft|rl`: with `--spec spec.json` as a launcher calls it, or with flags as a person does.

`python -m trainer check` reads recipe tables as JSON, {"sft": {...}, ...}, from standard input and names their faults;
`python -m trainer estimate` reads the same and says what memory, time and money they take.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from data_contracts.ids import canonical_json
from data_contracts.manifests import RunKind, RunSpec
from rollout.process import guarded
from trainer.commands import COMMANDS, execute
from trainer.cost import Gpu
from trainer.distributed import joined
from trainer.estimate import Market, describe, describe_tables
from trainer.recipe import check_tables, load_table, tables_of
from trainer.runs import Run, spec_from_flags

CHECK, ESTIMATE = "check", "estimate"
INPUTS = ("dataset", "checkpoint", "tasks", "eval_tasks", "attempts")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trainer", description=__doc__)
    parser.add_argument("kind", choices=[*(kind.value for kind in COMMANDS), CHECK, ESTIMATE])
    parser.add_argument("--spec", type=Path, help="a RunSpec as JSON; replaces all other flags")
    parser.add_argument("--recipe", type=Path, help="TOML file; its table of this kind is read")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    for name in INPUTS:
        parser.add_argument(f"--{name}", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, help="folder to write")
    parser.add_argument("--seed", type=int, help="instead of the table's own seed")
    parser.add_argument("--dry-run", action="store_true", help="print memory, steps, time and price, and stop")
    cards = [gpu.value for gpu in Gpu]
    parser.add_argument(
        "--gpu", type=str.upper, choices=cards, default=Market.gpu.value, help="dry run: card that time is reckoned for"
    )
    parser.add_argument("--mfu", type=float, default=Market.mfu, help="dry run: share of its peak that is reached")
    parser.add_argument("--price", type=float, metavar="PER_HOUR", help="dry run: price of a GPU and hour")
    return parser


def _spec(args: argparse.Namespace) -> RunSpec:
    if args.spec is not None:
        return _read_spec(args.spec, RunKind(args.kind))
    missing = [flag for flag in ("recipe", "out") if getattr(args, flag) is None]
    if missing:
        raise ValueError(f"{args.kind} needs " + " and ".join(f"--{flag}" for flag in missing) + ", or --spec")
    table = load_table(args.recipe, args.kind, args.changes)
    own_seed, num_gpus = table.pop("seed", None), table.pop("num_gpus", 0)
    seed = own_seed if args.seed is None else args.seed
    if seed is None:
        raise ValueError(
            f"{args.kind} has no seed, which decides the result: add --seed N, or `seed = N` to the recipe"
        )
    inputs = {name: getattr(args, name) for name in INPUTS}
    return spec_from_flags(RunKind(args.kind), canonical_json(table), inputs, args.out, seed, num_gpus)


def _read_spec(path: Path, kind: RunKind) -> RunSpec:
    if not path.is_file():
        raise FileNotFoundError(f"there is no spec {path}: give the JSON file that the launcher wrote")
    spec = RunSpec.from_json(path.read_text())
    if spec.kind is not kind:
        raise ValueError(f"{path} is a spec for {spec.kind.value}: call `python -m trainer {spec.kind.value}`")
    return spec


def main(words: Sequence[str] | None = None) -> None:
    """Run one command; print its summary numbers as JSON."""
    args = _parser().parse_args(words)
    if args.kind == CHECK:
        check_tables(json.load(sys.stdin))
        return
    market = Market(Gpu(args.gpu), args.mfu, args.price)
    if args.kind == ESTIMATE:
        print(describe_tables(json.load(sys.stdin), market))
        return
    spec = _spec(args)
    if args.dry_run:
        print(describe(spec, tables_of(args.recipe).get("init") if args.recipe else None, market))
        return
    with joined(spec.num_gpus) as world:
        result = execute(Run(spec, world))
    if world.is_first:
        print(result.metrics)


if __name__ == "__main__":
    sys.exit(guarded(main))
