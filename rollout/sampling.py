"""`python -m rollout sample`: attempts at all tasks of a dataset, shard by shard.

A shard is a fixed list of jobs and is written once; a run that was killed goes on with the first missing shard.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from data_contracts.attempts import Attempt, Outcome, Policy, PolicyKind
from data_contracts.ids import content_hash
from data_contracts.manifests import Parent, RunInput, RunSpec
from data_contracts.storage import read_dataset, read_rows, write_dataset, write_rows
from data_contracts.tasks import Task
from rollout.agent import Setting
from rollout.checkpoint import load_model, read_checkpoint_manifest
from rollout.engines import Engine
from rollout.groups import jobs_of, run_attempts
from rollout.process import finished, input_of, write_result
from rollout.progress import Progress
from rollout.recipe import EngineRecipe, OpenAIRecipe, SampleRecipe, ScriptedRecipe, TransformersRecipe
from rollout.rendering import Renderer
from rollout.sandbox import Sandbox
from rollout.tools import build_tools
from rollout.tools.variants import apply_variant

SPEC_VERSION = "1"
"""Raise it when the agent changes in a way that changes attempts."""


def sample(spec: RunSpec) -> None:
    """Run a spec of kind SAMPLE: input `tasks`, for a student also `checkpoint`; output `attempts`."""
    if finished(spec) is not None:
        return
    recipe = SampleRecipe.model_validate_json(spec.recipe)
    attempts = sample_attempts(spec, recipe)
    output = write_attempts(spec, attempts)
    write_result(spec, (output,), summary(attempts))


def write_attempts(spec: RunSpec, attempts: Sequence[Attempt]) -> RunInput:
    """Write the dataset `attempts` of a run; returns its entry for the result."""
    parents = tuple(Parent(name=i.name, content_hash=i.content_hash) for i in spec.inputs)
    folder, manifest = write_dataset(Path(spec.output), "attempts", attempts, Attempt, parents)
    path = folder.relative_to(spec.output).as_posix()
    return RunInput(name="attempts", path=path, content_hash=manifest.content_hash)


def summary(attempts: Sequence[Attempt]) -> dict[str, int]:
    """Counts by outcome."""
    return {"num_attempts": len(attempts)} | {o.value: sum(a.outcome is o for a in attempts) for o in Outcome}


def sample_attempts(spec: RunSpec, recipe: SampleRecipe) -> list[Attempt]:
    """All attempts of a spec: from the shards on disk where they are there, else made now."""
    given = input_of(spec, "tasks")
    tasks = sorted(read_dataset(Path(given.path), Task, given.content_hash), key=lambda t: t.key)
    size = recipe.tasks_per_shard
    shards = [tasks[i : i + size] for i in range(0, len(tasks), size)]
    folder = Path(spec.output) / "shards"
    paths = [folder / f"{spec.identity[:12]}-{i:05d}.parquet" for i in range(len(shards))]
    total, done = (
        len(tasks) * recipe.num_attempts,
        sum(len(s) for s, p in zip(shards, paths, strict=True) if p.is_file()),
    )
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(spec.kind.value, total, done * recipe.num_attempts, unit="attempts"))
        missing = [(shard, path) for shard, path in zip(shards, paths, strict=True) if not path.is_file()]
        if missing:
            engine, setting = stack.enter_context(opened(spec, recipe, tasks))
        for shard, path in missing:
            jobs = jobs_of(shard, recipe.num_attempts, spec.seed)
            write_rows(path, run_attempts(jobs, engine, setting, progress.update), Attempt)
    return [attempt for path in paths for attempt in read_rows(path, Attempt)]


@contextmanager
def opened(spec: RunSpec, recipe: SampleRecipe, tasks: Sequence[Task]) -> Iterator[tuple[Engine, Setting]]:
    """Engine, sandbox and tools of a run, closed at the end."""
    with ExitStack() as stack:
        engine, policy, renderer = _engine(spec, recipe, stack)
        sandbox = stack.enter_context(Sandbox())
        tools = {s: apply_variant(t, recipe.tool_variant) for s, t in build_tools(tasks, sandbox).items()}
        yield engine, Setting(policy, spec_hash(recipe), tools, renderer)


def spec_hash(recipe: SampleRecipe) -> str:
    """Hash of what decides an attempt besides its task, policy and seed."""
    return content_hash(
        [SPEC_VERSION, recipe.engine.model_dump(mode="json"), recipe.family.value, recipe.tool_variant.value]
    )


def _engine(spec: RunSpec, recipe: SampleRecipe, stack: ExitStack) -> tuple[Engine, Policy, Renderer | None]:
    engine: EngineRecipe = recipe.engine
    if isinstance(engine, ScriptedRecipe):
        from rollout.engines.scripted import ScriptedEngine

        policy = Policy(kind=PolicyKind.TEACHER, name="scripted", revision=SPEC_VERSION)
        return ScriptedEngine(engine.error_rate, engine.oversight_rate), policy, None
    if isinstance(engine, TransformersRecipe):
        return _checkpoint_engine(spec, recipe, engine)
    return _server_engine(engine, stack)


def _checkpoint_engine(
    spec: RunSpec, recipe: SampleRecipe, engine: TransformersRecipe
) -> tuple[Engine, Policy, Renderer | None]:
    import torch

    from rollout.engines.transformers import Sampling, TransformersEngine

    given = input_of(spec, "checkpoint")
    manifest = read_checkpoint_manifest(Path(given.path), given.content_hash)
    torch.set_num_threads(engine.num_threads)
    model, tokenizer = load_model(Path(given.path))
    renderer = Renderer(tokenizer, recipe.family)
    sampling = Sampling(engine.temperature, engine.top_p, engine.max_turn_tokens)
    policy = Policy(kind=PolicyKind.STUDENT, name=manifest.name, revision=manifest.revision)
    made = TransformersEngine(model, renderer.end_id, tokenizer.pad_token_id, sampling, engine.batch_size)
    return made, policy, renderer


def _server_engine(engine: OpenAIRecipe, stack: ExitStack) -> tuple[Engine, Policy, Renderer | None]:
    from rollout.engines.openai import Api, OpenAIEngine

    if engine.api is Api.TOKENS:
        raise ValueError("api = 'tokens' needs the student's tokenizer: sample a checkpoint, or use api = 'chat'")
    client = OpenAIEngine(
        engine.base_url,
        engine.model,
        engine.api,
        temperature=engine.temperature,
        top_p=engine.top_p,
        max_turn_tokens=engine.max_turn_tokens,
        api_key=os.environ.get(engine.api_key_env, "none"),
        max_concurrent=engine.max_concurrent,
    )
    stack.callback(client.close)
    return client, Policy(kind=PolicyKind.TEACHER, name=engine.model, revision=engine.revision), None
