"""What each kind of run does: read checked inputs, build, train, write the checkpoint."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from data_contracts.attempts import Attempt
from data_contracts.manifests import CheckpointManifest, RunKind, RunResult
from data_contracts.storage import read_dataset, read_table
from data_contracts.tasks import Task
from data_contracts.token_rows import TokenRow
from rollout.agent import derived_seed
from rollout.checkpoint import read_checkpoint_manifest
from rollout.process import use_threads
from rollout.rendering import Family
from rollout.rendering.family import prompt_pieces, visible
from trainer import rl, sft
from trainer.checkpoints import Position
from trainer.learner import Learner
from trainer.lora import add_adapters
from trainer.model import load_model, load_tokenizer, parameter_counts
from trainer.norms import speed_up_norms
from trainer.optim import make_optimizer
from trainer.packing import Pack, check_budget, from_table
from trainer.recipe import SCRATCH, InitRecipe, RlRecipe, SftRecipe, TrainRecipe, parse_recipe
from trainer.room import check_room
from trainer.runs import CHECKPOINT, Run
from trainer.sampling import Sampler
from trainer.sharding import place
from trainer.student import random_model, train_tokenizer
from trainer.trackers import chosen


def init(run: Run) -> None:
    """Make the first checkpoint of a student."""
    recipe = parse_recipe(InitRecipe, "init", run.spec.recipe)
    use_threads(recipe.threads)
    if recipe.model == SCRATCH:
        tokenizer = train_tokenizer(
            _teacher_texts(run),
            recipe.vocab_size,
            recipe.min_frequency,
            recipe.max_positions,
            recipe.word_boundaries,
        )
        model = random_model(recipe, tokenizer, run.spec.seed)
    else:
        if not Path(recipe.model).is_dir() and recipe.revision is None:
            raise ValueError(
                f"model {recipe.model!r} is no folder here; for a hub id give revision = a commit or tag as well"
            )
        tokenizer = load_tokenizer(recipe.model, recipe.revision)
        model = load_model(recipe.model, "auto", recipe.revision)
    run.claim()
    run.finish(model, tokenizer, recipe.name, 0, {"vocabulary": len(tokenizer), **parameter_counts(model)})


def _teacher_texts(run: Run) -> list[str]:
    """The teacher's conversations as the model will read them, with the tools of the tasks where these are given."""
    source, declared = run.input("attempts"), run.optional("tasks")
    attempts = read_dataset(Path(source.path), Attempt, source.content_hash)
    tasks = read_dataset(Path(declared.path), Task, declared.content_hash) if declared else []
    tools = {task.key: task.tools for task in tasks}
    return [
        "".join(
            piece.text
            for piece in prompt_pieces(
                Family.QWEN3_INSTRUCT, visible(attempt.messages), tools.get(attempt.task_key, ())
            )
        )
        for attempt in attempts
    ]


def start(run: Run, recipe: TrainRecipe) -> tuple[CheckpointManifest, Learner, Any]:
    """The checkpoint that training starts from, as (manifest, learner, tokenizer)."""
    use_threads(recipe.threads)
    chosen(recipe.trackers)  # a missing package is told of before anything is loaded
    source = run.input(CHECKPOINT)
    manifest = read_checkpoint_manifest(Path(source.path), source.content_hash)
    check_room(source.path, recipe, run.world)
    model = load_policy(run)
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    if recipe.lora is not None:
        add_adapters(model, recipe.lora, run.spec.seed, manifest.content_hash)
    place(model, recipe.sharding, run.world)
    optimizer = make_optimizer(model, recipe.lr, recipe.betas, recipe.weight_decay)
    device, shares = run.world.device, recipe.share_prefixes
    learner = Learner(model, optimizer, device, recipe.grad_clip, run.world, share_prefixes=shares)
    return manifest, learner, load_tokenizer(source.path)


def load_policy(run: Run) -> Any:
    """The model of that checkpoint, in host memory."""
    model = load_model(run.input(CHECKPOINT).path)
    if run.world.device.type == "cpu":
        speed_up_norms(model)
    return model


def read_rows(run: Run, manifest: CheckpointManifest) -> Pack:
    """The token rows to train on. Raises ValueError for rows of another tokenizer."""
    source = run.input("dataset")
    table = read_table(Path(source.path), TokenRow, source.content_hash)
    for found in table.column("tokenizer_id").unique().to_pylist():
        if found != manifest.tokenizer_id:
            raise ValueError(
                f"{source.path} has rows of tokenizer {found}, but the checkpoint's is {manifest.tokenizer_id}: make the "
                "dataset again for this student"
            )
    return from_table(table)


def run_sft(run: Run) -> None:
    """Supervised fine-tuning."""
    recipe = parse_recipe(SftRecipe, "sft", run.spec.recipe)
    manifest, learner, tokenizer = start(run, recipe)
    rows = read_rows(run, manifest)
    check_budget(rows.lengths_N, recipe.tokens_per_microbatch)
    with ExitStack() as stack:
        accuracy = _held_out(run, recipe, learner, tokenizer, stack) if recipe.eval_every else None
        run.claim()
        position = sft.train(learner, rows, recipe, run.spec.seed, run.folder, accuracy)
    run.finish(learner.model, tokenizer, manifest.name, position.step, _summary(position))


def _held_out(run: Run, recipe: SftRecipe, learner: Learner, tokenizer: Any, stack: ExitStack) -> sft.Accuracy:
    tasks = read_tasks(run, "eval_tasks")[: recipe.eval_tasks]
    sampler = stack.enter_context(
        Sampler(learner.model, tokenizer, tasks, recipe.sampling, "held-out", _short_identity(run))
    )
    seed, world = run.spec.seed, run.world
    return lambda step: sampler.accuracy(tasks, recipe.eval_attempts, derived_seed(seed, "eval", step), world)


def _short_identity(run: Run) -> str:
    return f"{run.spec.kind.value}-{run.spec.identity[:12]}"


def read_tasks(run: Run, name: str) -> list[Task]:
    """The tasks of an input, by key. Raises ValueError for an empty one."""
    source = run.input(name)
    tasks = sorted(read_dataset(Path(source.path), Task, source.content_hash), key=lambda task: task.key)
    if not tasks:
        raise ValueError(f"{source.path} ({name}) has no tasks: look at the decisions of the step that made it")
    return tasks


def run_rl(run: Run) -> None:
    """Reinforcement learning."""
    recipe = parse_recipe(RlRecipe, "rl", run.spec.recipe)
    manifest, learner, tokenizer = start(run, recipe)
    tasks = read_tasks(run, "tasks")
    check_tasks(tasks, recipe)
    if recipe.kl_coefficient and recipe.lora is None:
        learner.reference = place(load_policy(run).requires_grad_(False).eval(), recipe.sharding, run.world)
    with Sampler(learner.model, tokenizer, tasks, recipe.sampling, manifest.name, _short_identity(run)) as sampler:
        run.claim()
        position = rl.train(learner, sampler, tasks, recipe, run.spec.seed, run.folder)
    run.finish(learner.model, tokenizer, manifest.name, position.step, _summary(position))


def check_tasks(tasks: Sequence[Task], recipe: RlRecipe) -> None:
    """Raises ValueError for tasks that RL cannot use."""
    unjudged = [task for task in tasks if task.verifier is None]
    if unjudged:
        raise ValueError(
            f"{len(unjudged)} of {len(tasks)} tasks have no verifier (first: {unjudged[0].source}/{unjudged[0].source_id}), so "
            "no attempt at them gets a reward: leave them out of the RL dataset"
        )
    longest = max(task.limits.max_tokens for task in tasks)
    if longest > recipe.tokens_per_microbatch:
        raise ValueError(
            f"tasks allow attempts of {longest} tokens, but a micro-batch holds {recipe.tokens_per_microbatch}: raise "
            f"tokens_per_microbatch to at least {longest}"
        )


def _summary(position: Position) -> dict[str, float | int | None]:
    return {
        "steps": position.step,
        "nonfinite_steps": position.nonfinite_steps,
        "cpu_seconds": round(position.cpu_seconds, 1),
        "accuracy": position.accuracies[-1][1] if position.accuracies else None,
        "best_accuracy": max((a for _, a in position.accuracies), default=None),
    }


COMMANDS = {RunKind.INIT: init, RunKind.SFT: run_sft, RunKind.RL: run_rl}


def execute(run: Run) -> RunResult:
    """Do what the spec asks; a run that is complete is not done again."""
    if run.world.first(run.result() is None):
        COMMANDS[run.spec.kind](run)
    result = run.result()
    assert result is not None
    return result
