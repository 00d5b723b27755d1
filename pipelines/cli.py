"""`toolpath`: run the walk, open the UI, look at an attempt, evaluate a model on a suite, export a dataset."""

import argparse
import os
import shutil
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from data_contracts.attempts import Attempt, Origin, Outcome
from data_contracts.decisions import Decision
from data_contracts.manifests import EvaluationRow
from data_contracts.tasks import Task
from pipelines.export_command import add_export_arguments, run_export
from pipelines.recipe import Recipe, default_recipe, load_recipe
from pipelines.store import PROJECT, Store, data_root
from pipelines.suite_command import add_suite_arguments, list_suites, run_suites
from pipelines.viewer.tables import HEADER, aligned, report_rows, suite_table

USER_ERROR = 2
DEFAULT_PORT = 3000
MAX_FIGURES = 5
SETTINGS = "dagster.yaml"
SHOWN = ("student_attempts", "teacher_attempts", "recorded_attempts")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="toolpath", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="materialise the whole graph and print the result")
    run.add_argument("--recipe", default=default_recipe(), help="name in pipelines/recipes, or a TOML file")
    run.add_argument("--set", action="append", default=[], metavar="STAGE.KEY=VALUE", dest="overrides")
    run.add_argument(
        "--dry-run", action="store_true", help="say what training takes, and stop; --gpu H200 --mfu 0.3 --price 3.5"
    )
    ui = commands.add_parser("ui", help="the Dagster UI with the same graph")
    ui.add_argument("--port", type=int, default=DEFAULT_PORT)
    ui.add_argument("--recipe", default=default_recipe())
    show = commands.add_parser("show", help="one attempt side by side: text, segments, ids, mask, log-probs")
    show.add_argument(
        "attempt", nargs="?", help="key, or how it starts; default: the first that called a tool and was right"
    )
    show.add_argument("--asset", choices=SHOWN, help="where to look; default: the first of them that holds it")
    add_suite_arguments(commands.add_parser("eval", help="a model on evaluation suites: scores with intervals"))
    add_export_arguments(commands.add_parser("export", help="a dataset in the form that TRL, verl or prime-rl reads"))
    commands.add_parser("suites", help="the evaluation suites, where they lie and under which licence")
    return parser


def dagster_home() -> Path:
    """DAGSTER_HOME, or `dagster_home` beside the code; set for this process and those it starts.

    A home without settings of its own gets ours: telemetry off, pools, monitoring.
    """
    ours = PROJECT / "dagster_home"
    home = Path(os.environ.get("DAGSTER_HOME") or ours).resolve()
    home.mkdir(parents=True, exist_ok=True)
    if not (home / SETTINGS).exists():
        shutil.copyfile(ours / SETTINGS, home / SETTINGS)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code. A user's mistake is one message on stderr."""
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    if rest and args.command != "eval" and not (args.command == "run" and args.dry_run):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if not sys.platform.startswith("linux"):
        print(
            f"error: toolpath runs on Linux, not on {sys.platform}: use a Linux machine or container", file=sys.stderr
        )
        return USER_ERROR
    # Dagster announces its own preview features once per use.
    warnings.filterwarnings("ignore", message=".*is currently in preview.*")
    try:
        if args.command == "eval":
            return run_suites(args, rest)
        if args.command == "suites":
            print(list_suites())
            return 0
        if args.command == "export":
            print(run_export(Store(data_root()), args))
            return 0
        if args.command == "ui":
            return open_ui(args.port, args.recipe)
        if args.command == "show":
            print(show_attempt(Store(data_root()), args.asset, args.attempt))
            return 0
        recipe = load_recipe(args.recipe, args.overrides)
        if args.dry_run:
            print(estimate(recipe, rest))
            return 0
        return run_walk(recipe, args.recipe, args.overrides)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR


def open_ui(port: int, recipe: str) -> int:
    """Replace this process by `dagster dev`."""
    check_tables(load_recipe(recipe))
    home = dagster_home()
    os.environ["TOOLPATH_RECIPE"] = recipe
    # A machine that is busy sampling answers late; that is no reason to drop a run.
    os.environ.setdefault("DAGSTER_GRPC_TIMEOUT_SECONDS", "300")
    print(f"Dagster UI: http://127.0.0.1:{port} (state in {home}; stop with Ctrl-C)", flush=True)
    dagster = Path(sys.executable).with_name("dagster")
    os.execv(dagster, [str(dagster), "dev", "-m", "pipelines.definitions", "-h", "127.0.0.1", "-p", str(port)])


def check_tables(recipe: Recipe) -> None:
    """Raises ValueError with every fault of the recipe, before anything is written."""
    from pipelines.defs.recipe_check import check_recipe
    from pipelines.resources import trainer_python

    check_recipe(recipe, trainer_python())


def estimate(recipe: Recipe, options: Sequence[str]) -> str:
    """Memory, time and price of a recipe's training. Nothing is written."""
    from pipelines.defs.recipe_check import trainer_estimate
    from pipelines.resources import trainer_python

    return trainer_estimate(recipe, trainer_python(), options)


def run_walk(recipe: Recipe, name: str, overrides: list[str]) -> int:
    """Materialise step after step, say how far it is, print the result."""
    import dagster as dg

    from pipelines.defs.walk import end_dead_runs, steps_of, walk
    from pipelines.resources import DatasetStore, RecipeResource, default_resources

    check_tables(recipe)
    home, start, steps = dagster_home(), time.monotonic(), steps_of(recipe)
    resources = default_resources() | {"recipe": RecipeResource(name=name, overrides=overrides)}
    assert isinstance(resources["store"], DatasetStore)
    store = resources["store"].open()
    print(f"recipe {recipe.name}: {len(steps)} steps; data in {store.root}, runs in {home}", flush=True)
    with dg.DagsterInstance.get() as instance:
        end_dead_runs(instance, lambda run: print(f"run {run[:8]} had been killed: going on from what it left"))
        results = walk(steps, recipe, resources, instance)
        for number, step in enumerate(steps, start=1):
            print(f"[{number}/{len(steps)}] {step.name}", flush=True)
            result = next(results)
            if result.error is not None:
                print(f"error: {step.name}: {result.error}", file=sys.stderr)
                return 1
            print(f"      {_line(result.seconds, result.figures)}", flush=True)
    print(f"\n{summary(store, recipe)}\n\n{where_next(store)}\n\n{time.monotonic() - start:.0f} s in all")
    return 0


def show_attempt(store: Store, asset: str | None, key: str | None) -> str:
    """One stored attempt, rendered for the base checkpoint's tokenizer where it has no ids of its own, and what was
    decided on it. asset: None: whichever of SHOWN holds it first."""
    released = [name for name in SHOWN if store.has(name) or store.partitions(name)]
    asset, attempt = find_attempt(store, [asset] if asset else released or SHOWN[:1], key)
    head = decisions_on(store, attempt.key)
    return "\n\n".join(([head] if head else []) + shown_rows(store, asset, attempt))


def find_attempt(store: Store, assets: Sequence[str], key: str | None) -> tuple[str, Attempt]:
    """The first attempt whose key starts so, or that called a tool and was right, and the asset that holds it."""
    for asset in assets:
        for attempt in store.read(store.newest(asset), Attempt):
            if attempt.key.startswith(key) if key else attempt.calls() and is_right(attempt):
                return asset, attempt
    raise ValueError(f"no attempt {key or 'that called a tool and was right'} in {', '.join(assets)}")


def decisions_on(store: Store, key: str) -> str:
    """What the newest selection of SFT data decided on an attempt, a line each; empty where it was not asked."""
    from pipelines.viewer.attempt import verdict_line

    if not store.has("sft_decisions"):
        return ""
    decisions = store.read(store.latest("sft_decisions"), Decision)
    return "\n".join(verdict_line(decision) for decision in decisions if decision.subject == key)


def shown_rows(store: Store, asset: str, attempt: Attempt) -> list[str]:
    """The rows of an attempt, side by side with its text; a void one of ours has none."""
    from pipelines.viewer.attempt import side_by_side
    from rollout.checkpoint import load_tokenizer
    from rollout.rendering import Renderer
    from rollout.rows import rendered_rows, sampled_row

    if attempt.origin is Origin.SAMPLED and attempt.outcome is Outcome.VOID:
        return [f"attempt {attempt.key} is void ({attempt.stop.value}): it has no row"]
    renderer = Renderer(load_tokenizer(Path(store.latest("base_checkpoint").path)))
    if attempt.origin is Origin.SAMPLED:
        return [side_by_side(attempt, sampled_row(attempt), renderer)]
    source = "recorded_tasks" if asset == "recorded_attempts" else "tasks"
    tools = {task.key: task.tools for task in store.read(store.latest(source), Task)}
    rows = rendered_rows(attempt, tools[attempt.task_key], renderer)
    return [side_by_side(attempt, row, renderer) for row in rows]


def is_right(attempt: Attempt) -> bool:
    """Whether it was judged to be correct."""
    return attempt.outcome is Outcome.CORRECT


def _line(seconds: float, figures: dict[str, int | float]) -> str:
    shown = [
        f"{name} {value:,.4g}" if isinstance(value, float) else f"{name} {value:,}" for name, value in figures.items()
    ]
    return f"{seconds:.1f} s  " + ", ".join(shown[:MAX_FIGURES])


def summary(store: Store, recipe: Recipe) -> str:
    """The table base → SFT → RL, or what a walk without RL has made."""
    if "evaluation" in recipe.tables:
        rows = store.read(store.latest("evaluation_report"), EvaluationRow)
        own = [row for row in rows if row.suite == recipe.table("evaluation")["suite"]]
        held_out = "Held-out tasks, 95 % intervals over tasks\n" + aligned(HEADER, report_rows(own))
        return held_out if own == rows else f"{held_out}\n\n{aligned(*suite_table(rows))}"
    made = ("recorded_attempts", "recorded_difficulty", "sft_dataset", "sft_checkpoint", "rl_dataset", "rl_checkpoint")
    lines = [(name, store.latest(name).path) for name in made if store.has(name)]
    return aligned(("released", "folder"), lines)


def where_next(store: Store) -> str:
    """Where to look."""
    lines = [("UI, plots and checks", "make ui")]
    if store.has("published_dataset"):
        lines.append(("hub-ready dataset", store.latest("published_dataset").path))
    lines += [("all datasets", str(store.root / "datasets")), ("checkpoints, metrics", str(store.root / "runs"))]
    return "\n".join(f"{what:<22} {place}" for what, place in lines)


if __name__ == "__main__":
    sys.exit(main())
