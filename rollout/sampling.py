"""`python -m rollout sample`: attempts at all tasks of a dataset, shard by shard.

A shard is a fixed list of jobs and is written once; a run that was killed goes on with the first missing shard. Adaptive
sampling works in rounds: the jobs of one follow from the attempts of those before, so a resumed run plans the same.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import pyarrow.parquet as pq

from data_contracts.attempts import Attempt, Outcome, Policy, PolicyKind
from data_contracts.ids import content_hash
from data_contracts.manifests import Parent, RunInput, RunSpec
from data_contracts.scores import ScoredAttempt
from data_contracts.storage import read_dataset, read_rows, write_rows
from data_contracts.tasks import Task
from rollout.agent import Setting
from rollout.checkpoint import load_model, read_checkpoint_manifest
from rollout.engines import Engine
from rollout.executor import open_executor
from rollout.groups import Job, run_attempts
from rollout.process import finished, input_of, use_threads, write_output, write_result
from rollout.progress import Progress
from rollout.recipe import (
    AttemptsRecipe,
    EngineRecipe,
    OpenAIRecipe,
    SampleRecipe,
    ScriptedRecipe,
    TransformersRecipe,
)
from rollout.rendering import Renderer
from rollout.rewards import grader_for
from rollout.rounds import planned
from rollout.tools.registry import opened_tools
from rollout.tools.variants import apply_variant

if TYPE_CHECKING:
    from rollout.engines.openai import OpenAIEngine

K = TypeVar("K", Attempt, ScoredAttempt)

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
    return write_output(spec, "attempts", attempts, Attempt, parents)


def summary(attempts: Sequence[Attempt | ScoredAttempt]) -> dict[str, int]:
    """Counts by outcome."""
    return {"num_attempts": len(attempts)} | {o.value: sum(a.outcome is o for a in attempts) for o in Outcome}


def sample_attempts(spec: RunSpec, recipe: AttemptsRecipe) -> list[Attempt]:
    """All attempts of a spec, by task and index: from the shards on disk where they are there, else made now."""
    return sample_kept(spec, recipe, Attempt, lambda attempt: attempt)


def sample_kept(spec: RunSpec, recipe: AttemptsRecipe, record: type[K], keep: Callable[[Attempt], K]) -> list[K]:
    """Like `sample_attempts`, but what is written and returned of an attempt is what `keep` makes of it."""
    given = input_of(spec, "tasks")
    tasks = sorted(read_dataset(Path(given.path), Task, given.content_hash), key=lambda t: t.key)
    attempts: list[K] = []
    with ExitStack() as stack:
        label = f"{spec.kind.value} {recipe.title}".rstrip()
        progress = stack.enter_context(Progress(label, len(tasks) * recipe.num_attempts, unit="attempts"))
        engine = cache(lambda: stack.enter_context(opened(spec, recipe, tasks)))
        shards = _Shards(spec, recipe, engine, progress, record, keep)
        for number in count():
            jobs = planned(tasks, attempts, recipe, spec.seed)
            if not jobs:
                break
            attempts += shards.made(number, jobs)
    return sorted(attempts, key=lambda attempt: (attempt.task_key, attempt.index))


@dataclass(frozen=True)
class _Shards(Generic[K]):
    """The units of work and of resume: fixed lists of jobs, each written once."""

    spec: RunSpec
    recipe: AttemptsRecipe
    open: Callable[[], tuple[Engine, Setting]]
    """Called when the first shard has to be made."""
    progress: Progress
    record: type[K]
    keep: Callable[[Attempt], K]

    def made(self, number: int, jobs: Sequence[Job]) -> list[K]:
        """The attempts of a round."""
        size = self.recipe.tasks_per_shard * self.recipe.num_attempts
        shards = [jobs[i : i + size] for i in range(0, len(jobs), size)]
        return [attempt for i, shard in enumerate(shards) for attempt in self._shard(f"{number:02d}-{i:05d}", shard)]

    def _shard(self, name: str, jobs: Sequence[Job]) -> list[K]:
        path = Path(self.spec.output) / "shards" / f"{_prefix(self.spec)}-{name}.parquet"
        if path.is_file():
            self.progress.skip(len(jobs))
        else:
            engine, setting = self.open()
            attempts = run_attempts(jobs, engine, setting, self.progress.update)
            write_rows(path, map(self.keep, attempts), self.record)
        return read_rows(path, self.record)


def _prefix(spec: RunSpec) -> str:
    return spec.identity[:12]


def num_attempts_made(spec: RunSpec) -> int:
    """Attempts in the shards that an earlier run of the same spec left."""
    found = (Path(spec.output) / "shards").glob(f"{_prefix(spec)}-*.parquet")
    return sum(pq.read_metadata(path).num_rows for path in found)


@contextmanager
def opened(spec: RunSpec, recipe: AttemptsRecipe, tasks: Sequence[Task]) -> Iterator[tuple[Engine, Setting]]:
    """Engine, sandbox and tools of a run, closed at the end."""
    with ExitStack() as stack:
        engine, policy, renderer = _engine(spec, recipe, stack)
        sandbox = stack.enter_context(open_executor(recipe.sandbox))
        built = stack.enter_context(opened_tools(tasks, sandbox, recipe.tools))
        tools = {spec: apply_variant(tool, recipe.tool_variant) for spec, tool in built.items()}
        grader = stack.enter_context(grader_for(task.verifier for task in tasks))
        mode, max_tool_s = recipe.mode, recipe.max_tool_s
        yield (
            engine,
            Setting(policy, spec_hash(recipe), tools, renderer, grader=grader, mode=mode, max_tool_s=max_tool_s),
        )


def spec_hash(recipe: AttemptsRecipe) -> str:
    """Hash of what decides an attempt besides its task, policy and seed. What a recipe leaves at its default is left out
    where it came later, so that hashes stay."""
    common = [SPEC_VERSION, recipe.engine.model_dump(mode="json"), recipe.family.value, recipe.tool_variant.value]
    later = recipe.model_dump(mode="json", include={"tools", "mode", "sandbox"}, exclude_defaults=True)
    return content_hash([*common, later] if later else common)


def _engine(spec: RunSpec, recipe: AttemptsRecipe, stack: ExitStack) -> tuple[Engine, Policy, Renderer | None]:
    engine: EngineRecipe = recipe.engine
    if isinstance(engine, ScriptedRecipe):
        from rollout.engines.scripted import ScriptedEngine

        policy = Policy(kind=PolicyKind.TEACHER, name="scripted", revision=SPEC_VERSION)
        return ScriptedEngine(engine.error_rate, engine.oversight_rate), policy, None
    if isinstance(engine, TransformersRecipe):
        return _checkpoint_engine(spec, recipe, engine)
    return _server_engine(engine, stack)


def _checkpoint_engine(
    spec: RunSpec, recipe: AttemptsRecipe, engine: TransformersRecipe
) -> tuple[Engine, Policy, Renderer | None]:

    from rollout.engines.transformers import Sampling, TransformersEngine

    given = input_of(spec, "checkpoint")
    manifest = read_checkpoint_manifest(Path(given.path), given.content_hash)
    use_threads(engine.num_threads)
    model, tokenizer = load_model(Path(given.path))
    renderer = Renderer(tokenizer, recipe.family)
    sampling = Sampling(engine.temperature, engine.top_p, engine.max_turn_tokens)
    policy = Policy(kind=PolicyKind.STUDENT, name=manifest.name, revision=manifest.revision)
    made = TransformersEngine(model, renderer.end_id, tokenizer.pad_token_id, sampling, engine.batch_size)
    return made, policy, renderer


def _server_engine(engine: OpenAIRecipe, stack: ExitStack) -> tuple[Engine, Policy, Renderer | None]:
    from rollout.engines.openai import Api

    if engine.api is Api.TOKENS:
        raise ValueError("api = 'tokens' needs the student's tokenizer: sample a checkpoint, or use api = 'chat'")
    client = client_of(engine)
    stack.callback(client.close)
    return client, Policy(kind=PolicyKind.TEACHER, name=engine.model, revision=engine.revision), None


def client_of(engine: OpenAIRecipe) -> "OpenAIEngine":
    """The client of a server, which the caller closes; its key comes from the environment."""
    from rollout.engines.openai import OpenAIEngine

    return OpenAIEngine(
        engine.base_url,
        engine.model,
        engine.api,
        temperature=engine.temperature,
        top_p=engine.top_p,
        max_turn_tokens=engine.max_turn_tokens,
        api_key=os.environ.get(engine.api_key_env, "none"),
        max_concurrent=engine.max_concurrent,
    )
