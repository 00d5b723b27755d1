"""Verifiers: strict and lenient, and never 0 for their own failure."""

import pytest
from math_verify import parse, verify

from data_contracts.attempts import Outcome
from data_contracts.tasks import VerifierRef
from rollout.rewards import judge
from rollout.rewards.math import boxed, equivalent, plain_number

CASES = [
    ("So \\boxed{91}.", "91", True, True),
    ("So \\boxed{91.0}.", "91", True, True),
    ("\\boxed{1,234}", "1234", True, True),
    ("\\boxed{\\frac{1}{2}}", "0.5", True, True),
    ("\\boxed{x^2+2x+1}", "(x+1)^2", True, True),
    ("first \\boxed{1}, no: \\boxed{2}", "2", True, True),
    ("The answer is 91.", "91", False, True),
    ("91 or 92", "91", False, False),
    ("\\boxed{92}", "91", False, False),
    ("\\boxed{91", "91", False, True),
    ("no idea", "91", False, False),
    ("", "91", False, False),
    ("\\boxed{-3}", "3", False, False),
]


@pytest.mark.parametrize(("answer", "reference", "strict", "lenient"), CASES)
def test_math(answer: str, reference: str, strict: bool, lenient: bool) -> None:
    parts, outcome = judge(VerifierRef(name="math", reference=reference), answer)
    assert {p.name: p.value for p in parts} == {"correct_strict": float(strict), "correct_lenient": float(lenient)}
    assert outcome is (Outcome.CORRECT if strict else Outcome.WRONG)


@pytest.mark.parametrize("answer", ["7", "-7", "+7", "1,234.50", "1234.5", "0.1", "007", "12"])
@pytest.mark.parametrize("reference", ["7", "-7", "1234.5", "0.1", "12"])
def test_plain_numbers_agree_with_math_verify(answer: str, reference: str) -> None:
    """The short way for plain numbers says what the library says."""
    assert plain_number(answer) is not None
    assert equivalent(answer, reference) == verify(parse(f"${reference}$"), parse(f"${answer}$"))


def test_a_reference_that_cannot_be_read_is_no_verdict() -> None:
    parts, outcome = judge(VerifierRef(name="math", reference="\\"), "\\boxed{1}")
    assert outcome is Outcome.UNLABELLED
    assert {p.value for p in parts} == {None}


def test_no_final_message_is_wrong_and_no_verifier_is_unlabelled() -> None:
    assert judge(VerifierRef(name="math", reference="1"), None)[1] is Outcome.WRONG
    assert judge(None, "\\boxed{1}") == ((), Outcome.UNLABELLED)
    with pytest.raises(ValueError, match="unknown verifier 'maths': use one of exact, math"):
        judge(VerifierRef(name="maths", reference="1"), "1")


@pytest.mark.parametrize(
    ("answer", "strict", "lenient"),
    [("Paris", True, True), ("the paris!", False, True), ("\\boxed{Paris}", True, True), ("Rome", False, False)],
)
def test_exact(answer: str, strict: bool, lenient: bool) -> None:
    parts, _ = judge(VerifierRef(name="exact", reference="Paris"), answer)
    assert [p.value for p in parts] == [float(strict), float(lenient)]


def test_boxed_takes_the_last_complete_box() -> None:
    assert boxed("\\boxed{a{b}c}") == "a{b}c"
    assert boxed("\\boxed{a") is None
    assert boxed("none") is None
