"""The whole graph in one process, asset by asset, in an instance that the UI shows: what `toolpath run` does."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from pipelines.defs import tasks
from pipelines.defs.base import SCRATCH, base_checkpoint
from pipelines.defs.jobs import ASIDE, RECORDED, STUDENT, TO_RELEASE, TO_STUDENT
from pipelines.defs.rl_data import start_checkpoint
from pipelines.recipe import Recipe
from pipelines.resources import DatasetStore
from pipelines.store import checkpoint_manifest

PID_TAG = "toolpath/pid"
"""On runs of `toolpath run`: the process, and when it started, so that a later one can tell that it was killed."""


@dataclass(frozen=True)
class Step:
    """One asset to materialise."""

    asset: dg.AssetsDefinition
    of_student: bool = False
    """Whether it is done for the student that RL starts from (a partition)."""

    @property
    def name(self) -> str:
        """The asset's name."""
        return self.asset.key.to_user_string()


@dataclass(frozen=True)
class StepResult:
    """How a step ended."""

    seconds: float
    error: str | None
    """One message; None when it went well."""
    figures: dict[str, int | float] = field(default_factory=dict)
    """The numbers in the asset's metadata."""


def steps_of(recipe: Recipe) -> tuple[Step, ...]:
    """What a recipe's walk consists of: a recipe without [rl] makes no student, and publishes only if it says so; one
    without [sft] trains the base model by RL, and ends there."""
    student = tuple(Step(asset, of_student=True) for asset in STUDENT)
    if "sft" not in recipe.tables and "rl" in recipe.tables:
        return (*_steps(_to_base(recipe)), *student, *_steps(TO_RELEASE[:2]))
    recorded = recipe.table("sft_data").get("source") == "recorded"
    first, last = _steps(RECORDED if recorded else TO_STUDENT), _steps(ASIDE)
    if "rl" in recipe.tables:
        return (*first, *student, *_steps(TO_RELEASE), *last)
    return (*first, *_steps(TO_RELEASE[-1:] if "publish" in recipe.tables else ()), *last)


def _to_base(recipe: Recipe) -> tuple[dg.AssetsDefinition, ...]:
    """Tasks and the base model. Raises ValueError for a start that this walk never makes."""
    start = recipe.table("rl_data").get("start")
    if start != "base" or recipe.table("init").get("model") == SCRATCH:
        raise ValueError(
            f"recipe {recipe.name!r} has no [sft], but [rl_data] start={start!r} and [init] "
            f'model={recipe.table("init").get("model")!r}: RL without SFT starts from "base", a model that exists'
        )
    return tasks.tasks, base_checkpoint


def _steps(assets: Sequence[dg.AssetsDefinition]) -> tuple[Step, ...]:
    return tuple(map(Step, assets))


def walk(
    steps: Sequence[Step], recipe: Recipe, resources: dict[str, object], instance: dg.DagsterInstance
) -> Iterator[StepResult]:
    """Materialise step after step; ends after the first that fails."""
    store = resources["store"]
    assert isinstance(store, DatasetStore)
    for step in steps:
        student = checkpoint_manifest(start_checkpoint(store.open(), recipe)).revision if step.of_student else None
        result = _materialize(step, student, resources, instance)
        yield result
        if result.error is not None:
            return


def _materialize(
    step: Step, student: str | None, resources: dict[str, object], instance: dg.DagsterInstance
) -> StepResult:
    start = time.monotonic()
    result = dg.materialize(
        [step.asset],
        instance=instance,
        resources=resources,
        partition_key=student,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags={PID_TAG: _process_tag(os.getpid())},
    )
    seconds = time.monotonic() - start
    if not result.success:
        return StepResult(seconds, _error(result))
    return StepResult(seconds, None, _figures(result, step))


def _error(result: dg.ExecuteInProcessResult) -> str:
    """The failed checks, or the message of the exception that ended the step."""
    failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
    if failed:
        return "; ".join(f"check {e.check_name} failed: {e.description}" for e in failed)
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None and data.user_failure_data.description:
                return data.user_failure_data.description
            error = data.error.cause if data.error and data.error.cause else data.error
            return error.message.strip() if error else "failed without a message"
    return "failed without a message: look at the run in the UI"


def _figures(result: dg.ExecuteInProcessResult, step: Step) -> dict[str, int | float]:
    metadata = {
        name: value.value
        for materialization in result.asset_materializations_for_node(step.asset.op.name)
        for name, value in materialization.metadata.items()
    }
    return {name: value for name, value in metadata.items() if isinstance(value, int | float)}


def end_dead_runs(instance: dg.DagsterInstance, on_dead: Callable[[str], None]) -> None:
    """Mark runs whose process was killed as failed, and free their pool slots."""
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        tag = run.tags.get(PID_TAG)
        if tag is not None and tag != _process_tag(int(tag.partition("@")[0])):
            instance.report_run_failed(run, "the process of this run was killed")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            on_dead(run.run_id)


def _process_tag(pid: int) -> str:
    """`pid@start time`: pids are used again, pairs are not. `pid@gone` for a process that does not exist."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        started = "gone"
    return f"{pid}@{started}"
