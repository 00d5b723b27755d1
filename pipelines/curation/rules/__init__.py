"""The rules on single attempts, in the order in which they are asked: the first that an attempt breaks decides.

A new rule is a Reason, an Evidence, an option of SftDataRecipe, one function, and its line here.
"""

from data_contracts.decisions import Reason
from pipelines.curation.recipes import SftDataRecipe
from pipelines.curation.rules.contamination import contaminated
from pipelines.curation.rules.declared import invalid_arguments, undeclared_tool
from pipelines.curation.rules.errors import error_ratio, unrecovered_error
from pipelines.curation.rules.grounding import ungrounded_answer
from pipelines.curation.rules.idle import no_op_call, repeated_call
from pipelines.curation.rules.observation import invented_observation
from pipelines.curation.rules.outcome import (
    all_failed,
    flagged,
    no_tool_call,
    not_verified,
    truncated,
    unlabelled,
    void,
    void_turn,
)
from pipelines.curation.rules.pairing import unpaired_call
from pipelines.curation.rules.privacy import machine_path, secret
from pipelines.curation.rules.rule import Case, Evidence, Finding, Rule
from pipelines.curation.rules.written import narrated_call, truncated_call

RULES: tuple[Rule, ...] = (
    Rule(Reason.VOID, 1, void),
    Rule(Reason.CONTAMINATED, 1, contaminated),
    Rule(Reason.UNLABELLED, 1, unlabelled),
    Rule(Reason.ALL_CALLS_FAILED, 2, all_failed),
    Rule(Reason.NOT_VERIFIED, 1, not_verified),
    Rule(Reason.TRUNCATED, 1, truncated),
    Rule(Reason.TRUNCATED_CALL, 3, truncated_call),
    Rule(Reason.NARRATED_CALL, 3, narrated_call),
    Rule(Reason.VOID_TURN, 2, void_turn),
    Rule(Reason.NO_TOOL_CALL, 1, no_tool_call),
    Rule(Reason.FLAGGED, 1, flagged),
    Rule(Reason.UNPAIRED_CALL, 1, unpaired_call),
    Rule(Reason.UNDECLARED_TOOL, 1, undeclared_tool),
    Rule(Reason.INVALID_ARGUMENTS, 1, invalid_arguments),
    Rule(Reason.INVENTED_OBSERVATION, 3, invented_observation),
    Rule(Reason.ERROR_RATIO, 1, error_ratio),
    Rule(Reason.UNRECOVERED_ERROR, 1, unrecovered_error),
    Rule(Reason.REPEATED_CALL, 2, repeated_call),
    Rule(Reason.NO_OP_CALL, 3, no_op_call),
    Rule(Reason.UNGROUNDED_ANSWER, 5, ungrounded_answer),
    Rule(Reason.SECRET, 1, secret),
    Rule(Reason.MACHINE_PATH, 1, machine_path),
)


def first_broken(case: Case, recipe: SftDataRecipe) -> Finding | None:
    """The finding of the first rule that the attempt breaks."""
    return next((finding for rule in RULES if (finding := rule.ask(case, recipe))), None)


def all_broken(case: Case, recipe: SftDataRecipe) -> tuple[Finding, ...]:
    """The findings of all rules that the attempt breaks, in the order of the rules."""
    return tuple(finding for rule in RULES if (finding := rule.ask(case, recipe)))


__all__ = ["RULES", "Case", "Evidence", "Finding", "Rule", "all_broken", "first_broken"]
