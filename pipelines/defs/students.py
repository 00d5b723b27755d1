"""What each student can do: attempts at the training tasks, and the difficulty that follows. One partition a student."""

import dagster as dg

from data_contracts.attempts import Attempt
from data_contracts.difficulty import Difficulty
from data_contracts.manifests import RunKind
from data_contracts.tasks import Task
from pipelines.curation.difficulty import measure_difficulty
from pipelines.defs.base import base_checkpoint
from pipelines.defs.checkpoints import students
from pipelines.defs.difficulty import attempts_accounted, difficulty_metadata, drift_metadata
from pipelines.defs.outcome import Result, check_specs, contract_check, outputs_of, released
from pipelines.defs.sft import sft_checkpoint
from pipelines.defs.task_sets import student_tasks
from pipelines.defs.tasks import tasks
from pipelines.defs.teacher import attempt_metadata, complete_check
from pipelines.launchers.local import LocalLauncher
from pipelines.resources import DatasetStore, RecipeResource
from pipelines.store import Store


@dg.asset(
    deps=[tasks, base_checkpoint, sft_checkpoint],
    partitions_def=students,
    check_specs=check_specs("student_attempts", "contract", "complete"),
    pool="gpu",
)
def student_attempts(
    context: dg.AssetExecutionContext, store: DatasetStore, recipe: RecipeResource, launcher: LocalLauncher
) -> Result:
    """G attempts of one student at each of its tasks, with the real tools."""
    data, plan, revision = store.open(), recipe.load(), context.partition_key
    source = data.latest("tasks")
    chosen = data.write("student_tasks", student_tasks(data.read(source, Task), plan), Task, [source])
    inputs = [chosen.model_copy(update={"name": "tasks"}), data.input("checkpoint", "student", revision)]
    spec = data.spec(RunKind.SAMPLE, plan.for_process("difficulty"), inputs)
    attempts = outputs_of(spec, launcher.run(context, spec, "difficulty"))["attempts"]
    data.release("student_tasks", chosen, revision)
    rows = data.read(attempts, Attempt)
    wanted = {task.key for task in data.read(chosen, Task)}
    checks = [
        contract_check(data, [(attempts, Attempt)]),
        complete_check(rows, wanted, plan.table("difficulty")),
    ]
    return released(
        data, {"student_attempts": attempts}, checks, attempt_metadata(rows, f"Attempts of {revision}"), revision
    )


@dg.asset(
    deps=[student_attempts],
    partitions_def=students,
    check_specs=check_specs("task_difficulty", "contract", "accounted"),
)
def task_difficulty(context: dg.AssetExecutionContext, store: DatasetStore, recipe: RecipeResource) -> Result:
    """How hard each task is for one student: pass rate with its posterior. A table of its own; tasks stay as they are."""
    data, revision = store.open(), context.partition_key
    attempts = data.latest("student_attempts", revision)
    source = data.read(attempts, Attempt)
    rows = measure_difficulty(source, stopped_early="adaptive" in recipe.load().table("difficulty"))
    entry = data.write("task_difficulty", rows, Difficulty, [attempts])
    checks = [contract_check(data, [(entry, Difficulty)]), attempts_accounted(source, rows)]
    metadata = {**difficulty_metadata(rows, revision), **drift_metadata(_measured_before(data, revision), rows)}
    return released(data, {"task_difficulty": entry}, checks, metadata, revision)


def _measured_before(store: Store, revision: str) -> list[Difficulty]:
    """The difficulties of the student that was measured last before this one; none where it is the first."""
    others = [student for student in store.partitions("task_difficulty") if student != revision]
    return store.read(store.latest("task_difficulty", others[-1]), Difficulty) if others else []
