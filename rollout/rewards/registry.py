"""Verifiers by name."""

from collections.abc import Callable

from data_contracts.attempts import Outcome, RewardPart
from data_contracts.tasks import VerifierRef
from rollout.rewards.exact import judge_exact
from rollout.rewards.judgement import Judgement
from rollout.rewards.math import judge_math

VERIFIERS: dict[str, Callable[[str, str], Judgement]] = {"math": judge_math, "exact": judge_exact}
"""Name of a verifier to its function of (final message, reference)."""


def judge(verifier: VerifierRef | None, final_answer: str | None) -> tuple[tuple[RewardPart, ...], Outcome]:
    """Reward parts `correct_strict` and `correct_lenient`, and the outcome (by the strict part).

    No final message is wrong; no verifier is unlabelled; a verifier that failed is unlabelled with None parts.
    Raises ValueError for an unknown verifier.
    """
    if verifier is None:
        return (), Outcome.UNLABELLED
    if verifier.name not in VERIFIERS:
        raise ValueError(f"unknown verifier {verifier.name!r}: use one of {', '.join(sorted(VERIFIERS))}")
    if final_answer is None:
        verdict = Judgement(False, False, f"{verifier.name}-no-answer")
    else:
        verdict = VERIFIERS[verifier.name](final_answer, verifier.reference)
    parts = tuple(
        RewardPart(name=name, value=None if value is None else float(value), version=verdict.version)
        for name, value in (("correct_strict", verdict.strict), ("correct_lenient", verdict.lenient))
    )
    if verdict.strict is None:
        return parts, Outcome.UNLABELLED
    return parts, Outcome.CORRECT if verdict.strict else Outcome.WRONG
