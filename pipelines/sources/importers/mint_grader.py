"""Where MINT's grader errs.

It passes a number that is up to 5 % off, and any text that the reference stands in somewhere: 1974 for 1962, "$120" for 12,
"B ) Add 33 mL" for option d. TheoremQA is left alone, since its references are rounded; so is an option that is given in
words, and a solution that is a program.
Of the parts math and gsm8k it refuses every negative number, and every one with a comma or a dollar sign.
"""

import re
from collections.abc import Callable, Sequence
from fractions import Fraction

from rollout.rewards.numbers import NUMBER, Tolerance, plain_number

_PROPOSED = re.compile(r"<solution>(.*?)(?:</solution>|\Z)", re.DOTALL)
_OPTION = re.compile(r"\W*(?:option\s+|the (?:correct )?answer is:?\s+)?\(?([a-e])\s*(?:[):.]|\Z)", re.IGNORECASE)
_CLOSED = re.compile(r"<solution>([^<]*(?:<(?!/solution>)[^<]*)*)</solution>")
"""What stands between the marks, up to the first end mark."""
_FLOAT_ERROR = 1e-6


def passed_wrongly(part: str, reference: str, message: str) -> bool:
    """Whether nothing that a message proposes is the reference, of one that the grader took for right."""
    differs = _DIFFERS.get(part)
    proposed = _PROPOSED.findall(message)
    return differs is not None and bool(proposed) and differs(reference.strip(), proposed)


def refused_wrongly(reference: str, messages: Sequence[str]) -> bool:
    """Whether a message proposes the reference's number alone, of those that the grader took for wrong."""
    expected = plain_number(reference)
    proposals = map(_CLOSED.findall, messages if expected is not None else ())
    return any(len(texts) == 1 and plain_number(texts[0]) == expected for texts in proposals)


def _no_number_equals(reference: str, proposed: list[str]) -> bool:
    """Up to the places that the reference states. Says nothing where it is no number."""
    expected = plain_number(reference)
    if expected is None:
        return False
    tolerance = Tolerance(_FLOAT_ERROR, _half_a_place(reference, expected))
    numbers = (plain_number(text) for solution in proposed for text in NUMBER.findall(solution))
    return not any(number is not None and tolerance.accepts(number, expected) for number in numbers)


def _half_a_place(reference: str, expected: Fraction) -> float:
    """All places of a whole number are stated, as of 8.0."""
    return 0.0 if expected.denominator == 1 else 0.5 * 10.0 ** -len(reference.partition(".")[2])


def _other_option(reference: str, proposed: list[str]) -> bool:
    """Every solution that begins with an option's letter begins with another one's."""
    letters = {found[1].lower() for solution in proposed if (found := _OPTION.match(solution))}
    return bool(letters) and reference.lower() not in letters


_DIFFERS: dict[str, Callable[[str, list[str]], bool]] = {
    "gsm8k": _no_number_equals,
    "math": _no_number_equals,
    "hotpotqa": _no_number_equals,
    "mmlu": _other_option,
}
"""By part; the other parts are judged by running something, or allow for rounding."""
