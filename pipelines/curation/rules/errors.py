"""Calls that failed. An error alone is no fault: a model that reads it and recovers is what one wants to learn from."""

from dataclasses import dataclass

from data_contracts.attempts import CallStatus
from pipelines.curation.recipes import SftDataRecipe
from pipelines.curation.rules.rule import FAILURES, Case, Evidence


@dataclass(frozen=True)
class ErrorRatio(Evidence):
    """How many calls failed."""

    failed: int
    calls: int
    max_error_ratio: float


@dataclass(frozen=True)
class UnrecoveredError(Evidence):
    """The last call."""

    call_id: str
    status: CallStatus


def error_ratio(case: Case, recipe: SftDataRecipe) -> ErrorRatio | None:
    """More than `max_error_ratio` of the calls failed, recovered ones included. Taste: off by default.

    Calls whose end the log does not tell count as calls, not as failures.
    """
    limit = recipe.max_error_ratio
    if limit is None or not case.calls:
        return None
    failed = sum(call.status in FAILURES for _, call in case.calls)
    return ErrorRatio(failed, len(case.calls), limit) if failed > limit * len(case.calls) else None


def unrecovered_error(case: Case, recipe: SftDataRecipe) -> UnrecoveredError | None:
    """The last call failed: no later one made it good. Taste: off by default, a right answer may rest on earlier calls."""
    if not recipe.drop_unrecovered_errors or not case.calls:
        return None
    _, last = case.calls[-1]
    return UnrecoveredError(last.id, last.status) if last.status in FAILURES else None
