"""`python -m rollout eval`: what a user types, and what is printed."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from data_contracts.ids import canonical_json
from data_contracts.manifests import RunInput, RunKind, RunSpec
from data_contracts.overlaps import Overlap
from data_contracts.storage import read_dataset, write_bytes, write_dataset
from data_contracts.tasks import Task
from rollout.checkpoint import read_checkpoint_manifest
from rollout.evaluation.arguments import add_eval_arguments
from rollout.evaluation.report import Contamination, report
from rollout.evaluation.result import read_scores
from rollout.evaluation.run import evaluate
from rollout.evaluation.tables import report_markdown, report_text
from rollout.evaluation.task_files import SUFFIXES, drawn, read_tasks
from rollout.private_folder import private_folder
from rollout.recipe import EvaluateRecipe
from rollout.rendering import Family
from rollout.sampling import num_attempts_made
from rollout.tools.command import read_tables
from rollout.tools.declared import declaring
from rollout.tools.tables import ToolTable

SHARD_ATTEMPTS = 256
"""Attempts in one unit of work and of resume, about."""
NO_TOOL = "none"


def main(words: Sequence[str]) -> None:
    """Evaluate, resume what was begun, print the tables and write them beside the attempts."""
    parser = argparse.ArgumentParser(prog="python -m rollout eval", description=__doc__)
    add_eval_arguments(parser)
    arguments = parser.parse_args(words)
    tasks = _chosen(arguments)
    with _spec(arguments, tasks) as spec:
        recipe = EvaluateRecipe.model_validate_json(spec.recipe)
        print(_announcement(spec, recipe, tasks), flush=True)
        evaluate(spec)
    rows = report(read_scores(arguments.output), recipe, _contamination(arguments))
    write_bytes(arguments.output / "report.md", report_markdown(rows).encode())
    write_bytes(arguments.output / "report.jsonl", "".join(f"{row.canonical()}\n" for row in rows).encode())
    kept = "no text of tasks or attempts" if recipe.redact else "attempts"
    print(f"\n{report_text(rows)}\n\nreport.md, report.jsonl, scores and {kept} are in {arguments.output}")


def _chosen(arguments: argparse.Namespace) -> list[Task]:
    tasks = read_tasks(arguments.tasks)
    if arguments.tool == NO_TOOL and arguments.declare:
        raise ValueError(f"--tool {NO_TOOL} and --declare {arguments.declare[0]} contradict each other: leave one out")
    if arguments.tool == NO_TOOL or arguments.declare:
        tasks = _declaring(tasks, arguments)
    return tasks if arguments.limit is None else drawn(tasks, arguments.limit)


def _declaring(tasks: Sequence[Task], arguments: argparse.Namespace) -> list[Task]:
    try:
        return declaring(tasks, arguments.declare or (), _tables(arguments))
    except ValueError as error:
        raise ValueError(f"--declare {error}") from error


def _tables(arguments: argparse.Namespace) -> dict[str, ToolTable]:
    return {} if arguments.tools is None else read_tables(arguments.tools)


@contextmanager
def _spec(arguments: argparse.Namespace, tasks: Sequence[Task]) -> Iterator[RunSpec]:
    """The spec of the run. The tasks lie in a private temporary folder while it runs: nothing of them stays."""
    with private_folder() as scratch:
        folder, manifest = write_dataset(scratch, "tasks", tasks, Task)
        inputs = [RunInput(name="tasks", path=str(folder), content_hash=manifest.content_hash)]
        if arguments.checkpoint is not None:
            found = read_checkpoint_manifest(arguments.checkpoint)
            entry = RunInput(name="checkpoint", path=str(arguments.checkpoint), content_hash=found.content_hash)
            inputs.append(entry)
        recipe = _recipe(arguments, tasks).model_dump(mode="json")
        yield RunSpec(
            kind=RunKind.EVALUATE,
            recipe=canonical_json(recipe),
            inputs=tuple(inputs),
            output=str(arguments.output),
            seed=arguments.seed,
        )


def _recipe(arguments: argparse.Namespace, tasks: Sequence[Task]) -> EvaluateRecipe:
    longest = max(task.limits.max_tokens for task in tasks)
    return EvaluateRecipe.model_validate(
        {
            "engine": _engine(arguments, arguments.max_turn_tokens or longest),
            "family": _family(arguments),
            "num_attempts": arguments.attempts,
            "tasks_per_shard": max(1, SHARD_ATTEMPTS // max(1, arguments.attempts)),
            "tool_variant": "real" if arguments.tool == NO_TOOL else arguments.tool,
            "tools": _tables(arguments),
            "label": arguments.label or arguments.model or arguments.checkpoint.name,
            "suite": arguments.suite or "+".join(_stem(path) for path in arguments.tasks),
            "suite_revision": arguments.suite_revision,
            "redact": arguments.redact,
        }
    )


def _family(arguments: argparse.Namespace) -> str:
    """A server renders by itself: there the value says nothing."""
    if arguments.family is None and arguments.checkpoint is not None:
        raise ValueError(f"--checkpoint needs --family, its chat format: one of {', '.join(Family)}")
    return arguments.family or Family.QWEN3.value


def _engine(arguments: argparse.Namespace, max_turn_tokens: int) -> dict[str, object]:
    sampling = {
        "temperature": arguments.temperature,
        "top_p": arguments.top_p,
        "max_turn_tokens": max_turn_tokens,
    }
    if arguments.checkpoint is not None:
        return {"kind": "transformers", "batch_size": arguments.batch_size, **sampling}
    if not arguments.model:
        raise ValueError("--server needs --model: the name that the server knows the model by")
    return {
        "kind": "openai",
        "api": "chat",
        "base_url": arguments.server,
        "model": arguments.model,
        "revision": arguments.revision,
        "api_key_env": arguments.api_key_env,
        **sampling,
    }


def _stem(path: Path) -> str:
    return next((path.name.removesuffix(s) for s in reversed(SUFFIXES) if path.name.endswith(s)), path.name)


def _announcement(spec: RunSpec, recipe: EvaluateRecipe, tasks: Sequence[Task]) -> str:
    total = len(tasks) * recipe.num_attempts
    most = recipe.num_attempts * sum(task.limits.max_tokens for task in tasks)
    made = num_attempts_made(spec)
    there = f"; {made:,} of them are there already" if made else ""
    return (
        f"{recipe.label} on {recipe.suite}: {len(tasks):,} tasks x {recipe.num_attempts} = {total:,} attempts, "
        f"at most {most:,} tokens (prompts and tool results included){there}"
    )


def _contamination(arguments: argparse.Namespace) -> Contamination | None:
    if arguments.overlaps is None:
        return None
    return Contamination.from_overlaps(read_dataset(arguments.overlaps, Overlap), arguments.min_item_share)
