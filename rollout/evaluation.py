"""`python -m rollout evaluate`: how good is a policy on held-out tasks, with intervals."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_contracts.attempts import MODEL_FAILURES, Attempt, CallStatus, Outcome, StopReason
from data_contracts.manifests import Estimate, EvaluationRow, Parent, RunInput, RunSpec
from data_contracts.storage import write_dataset
from rollout.process import finished, write_result
from rollout.recipe import EvaluateRecipe
from rollout.sampling import sample_attempts, summary, write_attempts
from rollout.statistics import bootstrap_interval
from rollout.verdicts import follows_tool

BOOTSTRAP_SEED = 0


def evaluate(spec: RunSpec) -> None:
    """Run a spec of kind EVALUATE: inputs `tasks`, `checkpoint`; outputs `attempts`, `report`."""
    if finished(spec) is not None:
        return
    recipe = EvaluateRecipe.model_validate_json(spec.recipe)
    attempts = sample_attempts(spec, recipe)
    rows = report(attempts, recipe)
    written = write_attempts(spec, attempts)
    parents = (Parent(name="attempts", content_hash=written.content_hash),)
    folder, manifest = write_dataset(Path(spec.output), "report", rows, EvaluationRow, parents)
    entry = RunInput(name="report", path=folder.relative_to(spec.output).as_posix(), content_hash=manifest.content_hash)
    accuracy = {row.domain: row.accuracy.mean for row in rows}
    write_result(spec, (written, entry), summary(attempts) | {"accuracy": accuracy})


def report(attempts: Sequence[Attempt], recipe: EvaluateRecipe) -> list[EvaluationRow]:
    """One row for all tasks, for each named group of domains and for each domain."""
    domains = sorted({a.domain for a in attempts})
    sets = {"all": domains} | dict(recipe.groups) | {domain: [domain] for domain in domains}
    return [
        _row(name, [a for a in attempts if a.domain in members], recipe)
        for name, members in sets.items()
        if any(a.domain in members for a in attempts)
    ]


def _row(domain: str, attempts: Sequence[Attempt], recipe: EvaluateRecipe) -> EvaluationRow:
    labelled = [a for a in attempts if a.outcome in (Outcome.CORRECT, Outcome.WRONG)]
    calls = [call for a in labelled for call in a.calls()]
    followed = [follows_tool(a) for a in labelled]
    return EvaluationRow(
        policy=attempts[0].policy,
        label=recipe.label,
        suite=recipe.suite,
        domain=domain,
        num_tasks=len({a.task_key for a in attempts}),
        num_attempts=len(labelled),
        num_void=sum(a.outcome is Outcome.VOID for a in attempts),
        accuracy=accuracy(labelled, "correct_strict"),
        accuracy_lenient=accuracy(labelled, "correct_lenient"),
        calls_per_attempt=_share(len(calls), len(labelled)),
        call_success=_share(sum(c.status is CallStatus.OK for c in calls), len(calls)),
        model_failures=_share(sum(c.status in MODEL_FAILURES for c in calls), len(calls)),
        follows_tool=_share(sum(f is True for f in followed), sum(f is not None for f in followed)),
        tokens_per_attempt=_share(sum(len(t.sampled_ids_T) for a in labelled for t in a.turns), len(labelled)),
        truncated=_share(sum(a.stop is not StopReason.END for a in labelled), len(labelled)),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def accuracy(attempts: Sequence[Attempt], part: str) -> Estimate:
    """Mean over tasks of the mean reward part over attempts; 95 % bootstrap interval over tasks."""
    by_task: Mapping[str, list[float]] = defaultdict(list)
    for attempt in attempts:
        value = attempt.reward(part)
        if value is not None:
            by_task[attempt.task_key].append(value)
    if not by_task:
        return Estimate(mean=None, low=None, high=None, num_samples=0)
    interval = bootstrap_interval([sum(v) / len(v) for v in by_task.values()], seed=BOOTSTRAP_SEED)
    return Estimate(mean=interval.mean, low=interval.low, high=interval.high, num_samples=len(by_task))
