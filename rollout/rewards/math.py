"""Mathematical equivalence, by math-verify; plain numbers are compared exactly without it."""

import re
from fractions import Fraction
from functools import lru_cache

from rollout.rewards.judgement import Judgement

VERSION = "math-1"
TIMEOUT_S = 5

_NUMBER = re.compile(r"[-+]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?")
_BOXED = "\\boxed{"


def boxed(text: str) -> str | None:
    """The content of the last complete \\boxed{...}; None where there is none."""
    start = text.rfind(_BOXED)
    if start < 0:
        return None
    depth = 0
    for i in range(start + len(_BOXED) - 1, len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return text[start + len(_BOXED) : i]
    return None


def plain_number(text: str) -> Fraction | None:
    """The value of a plain decimal number; None for anything else."""
    text = text.strip().strip("$").strip()
    return Fraction(text.replace(",", "")) if _NUMBER.fullmatch(text) else None


def judge_math(answer: str, reference: str) -> Judgement:
    """Strict: the boxed answer equals the reference. Lenient: the last answer found anywhere in the text does.

    A failure of the verifier itself (time-out, unreadable reference) is None, never 0.
    """
    inside = boxed(answer)
    strict = False if inside is None else equivalent(inside, reference)
    lenient = strict if strict else equivalent_anywhere(answer, reference)
    return Judgement(strict, lenient, VERSION)


@lru_cache(maxsize=100_000)
def equivalent(answer: str, reference: str) -> bool | None:
    """Whether two answers are mathematically equal; None where the reference cannot be read or time ran out."""
    ours, theirs = plain_number(answer), plain_number(reference)
    if ours is not None and theirs is not None:
        return ours == theirs
    return _by_math_verify(f"${answer}$", reference)


@lru_cache(maxsize=100_000)
def equivalent_anywhere(text: str, reference: str) -> bool | None:
    """Whether the last number (or else any answer that math-verify finds) in `text` equals the reference."""
    theirs = plain_number(reference)
    found = [match.group() for match in _NUMBER.finditer(text)]
    if theirs is not None and found and plain_number(found[-1]) == theirs:
        return True
    return _by_math_verify(text, reference) if theirs is None else False


def _by_math_verify(text: str, reference: str) -> bool | None:
    from math_verify import parse, verify
    from math_verify.errors import TimeoutException

    try:
        gold = parse(f"${reference}$", parsing_timeout=TIMEOUT_S)
        if not gold:
            return None
        return bool(verify(gold, parse(text, parsing_timeout=TIMEOUT_S), timeout_seconds=TIMEOUT_S))
    except TimeoutException:
        return None
