"""Whether the answer rests on what a tool said."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

from data_contracts.attempts import CallStatus
from data_contracts.messages import Role
from pipelines.curation.recipes import SftDataRecipe
from pipelines.curation.rules.counters import without_counters
from pipelines.curation.rules.idle import CODE_ARGUMENTS
from pipelines.curation.rules.rule import Case, Evidence, excerpt

_BOXED = re.compile(r"\\boxed\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_SOLUTION = re.compile(r"<solution>([^<]*)</solution>")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?")
_EXPONENT = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?[eE][-+]?\d+")
_FRACTION = re.compile(r"(?<![\w./])(-?\d+)\s*/\s*(\d+)(?![\w./])")
_PYTHON_FRACTION = re.compile(r"\bFraction\((-?\d+), (\d+)\)")
_FRAC = re.compile(r"\\[dt]?frac\{(\d{1,9})\}\{(\d{1,9})\}")
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_AMOUNT = r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?"
_CODE = re.compile(r"^[ \t]*(?:def|class|import|from) \w+|^[ \t]*```|= *lambda\b", re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]{4,}")
_ITEM = re.compile(r"^[ \t]*\d+[.)]\s", re.MULTILINE)
_OPENING = re.compile(r"(?:^|[.!?:>])[ \t]*[^\W\d_]+(?:['’]\w+)?(?:[,!]|(?=\s+(?:[a-z]|I\b)))", re.MULTILINE)
"""A word that is capitalised for where it stands: "The vase", "However, Eve", "Since I"."""
_HEADER = re.compile(r"\b(?:Source|Destination): (?:assistant|user)\b|\bEOT: true\b")
"""Of CodeLlama-70b's chat format, which it goes on to write."""
_EQUATION = re.compile(
    rf"({_AMOUNT})\s*(?:[-+/×÷]|\\?\*|\\times|\\cdot|\\div)\s*({_AMOUNT})\s*=\s*({_AMOUNT})(?![\w]|\.\d)"
)
_PER_CENT = re.compile(r"%|\bper ?cent")
_DIGIT = re.compile(r"\bdigit\b")
_CODE_ARGUMENT = re.compile(rf'"(?:{"|".join(sorted(CODE_ARGUMENTS))}|expression)":')
"""A calculator's expression is code too."""
_LAYOUT = re.compile(r"\\[()\[\],!]|\\?\$|[()]|</?\w+>")
_EXACT = 6
"""Decimals to which a step of arithmetic must be right."""
_NO_NAMES = frozenset({"unknown", "none", "neither", "nothing", "undefined"})


@dataclass(frozen=True)
class UngroundedAnswer(Evidence):
    """The answer, none of whose values a tool gave."""

    answer: str
    values: str
    """What was looked for in the results, by comma."""


def ungrounded_answer(case: Case, recipe: SftDataRecipe) -> UngroundedAnswer | None:
    """Nothing that the answer adds to what the user said stands in a result. Taste: off by default (`needs_grounded_answer`).

    A right answer may be some steps of mental arithmetic away from a result: such a row breaks the rule.
    """
    if not recipe.needs_grounded_answer or rests_on_tool(case) is not False:
        return None
    answer = case.attempt.final_answer or ""
    return UngroundedAnswer(excerpt(answer), excerpt(",".join(sorted(_new_values(case)))))


def rests_on_tool(case: Case) -> bool | None:
    """Whether some value of the answer stands in the result of a successful call, and in no message of system or user.

    Values are the numbers of all `\\boxed{}` or `<solution>`, else of the whole answer, those of a list's items left
    out; where it has none, its names (capitalised words of four letters or more that do not merely begin a sentence). The
    last number counts also where the user named it. A number stands in a result also where it is a result's number or
    fraction rounded, up or down, whatever the sign; as a percentage; as a digit, where a digit is asked for; where an
    equation or a fraction that the answer writes out makes it of results; or where it is the sum, difference, product or
    ratio of two results that are one number each. None where it cannot be said: a dialogue (its last words are no answer),
    code (running it tells), no answer, no successful call, or an answer that adds nothing to what was asked, by the user
    or in the model's own calls.
    """
    results = [without_counters(call.result) for _, call in case.calls if call.status is CallStatus.OK]
    if not results or _is_dialogue(case) or _CODE.search(_stated(case)):
        return None
    values = _new_values(case)
    if not values:
        return None
    if _stand_in(results, values, case):
        return True
    return None if values <= _asked(case) else False


def _is_dialogue(case: Case) -> bool:
    roles = [message.role for message in case.attempt.messages]
    return Role.ASSISTANT in roles and Role.USER in roles[roles.index(Role.ASSISTANT) :]


def _stated(case: Case) -> str:
    """All that the answer marks as such, else all of it."""
    answer = case.attempt.final_answer or ""
    marked: list[str] = _BOXED.findall(answer) or _SOLUTION.findall(answer)
    return "\n".join(marked) if marked else answer


def _new_values(case: Case) -> set[str]:
    answer = _ITEM.sub("", _stated(case))
    numbers = set(_numbers(answer))
    names = set[str]() if numbers else _names(answer)
    if not numbers and not names:
        return set()
    told = " ".join(m.content for m in case.attempt.messages if m.role in (Role.SYSTEM, Role.USER))
    return numbers.difference(_numbers(told)) if numbers else names - _words(told)


def _stand_in(results: Sequence[str], values: set[str], case: Case) -> bool:
    numbers = [value for value in values if _is_number(value)]
    if not numbers:
        return any(values & _words(text) for text in results)
    answer = case.attempt.final_answer or ""
    numbers += _numbers(_ITEM.sub("", _stated(case)))[-1:]
    each = [_given(text) for text in results]
    given = set[float]().union(*each)
    given |= _worked_out(answer, given)
    given |= _per_cent(given) if _PER_CENT.search(answer) else set()
    given |= _digits(given) if _DIGIT.search(answer) else set()
    if any(_rounds_to(abs(float(value)), _decimals(value), given) for value in numbers):
        return True
    single = {number for alone in each if len(alone) == 1 for number in alone}
    return any(_rounds_to(abs(float(value)), _EXACT, _one_step(single)) for value in numbers)


def _asked(case: Case) -> set[str]:
    """What the model put into its calls itself: words, and numbers that are no code."""
    asked = set[str]()
    for _, call in case.calls:
        asked |= _words(call.arguments)
        if not _CODE_ARGUMENT.search(call.arguments):
            asked.update(_numbers(call.arguments))
    return asked


def _numbers(text: str) -> list[str]:
    return [number.replace(",", "") for number in _NUMBER.findall(_FRACTION.sub(_decimal, _FRAC.sub(_decimal, text)))]


def _decimal(fraction: re.Match[str]) -> str:
    p, q = float(fraction[1]), float(fraction[2])
    return f"{p / q:.4f}" if q else fraction[0]


def _given(text: str) -> set[float]:
    """Absolute values of the numbers and fractions of a result."""
    pairs = _FRACTION.findall(text) + _PYTHON_FRACTION.findall(text)
    fractions = {abs(float(p) / float(q)) for p, q in pairs if float(q)}
    numbers = _NUMBER.findall(text) + _EXPONENT.findall(text)
    return fractions | {abs(float(number.replace(",", ""))) for number in numbers}


def _worked_out(answer: str, given: set[float]) -> set[float]:
    """What equations of the answer make of given numbers, one after the other, and fractions of two of them."""
    pairs = [(float(p), float(q)) for p, q in _FRACTION.findall(answer) + _FRAC.findall(answer)]
    found = {abs(p / q) for p, q in pairs if q and {abs(p), q} <= given}
    for terms in _EQUATION.findall(_LAYOUT.sub("", answer)):
        left, right, result = (abs(float(term.replace(",", ""))) for term in terms)
        if any(_rounds_to(term, _EXACT, given | found) for term in (left, right)):
            found.add(result)
    return found


def _one_step(numbers: set[float]) -> Iterator[float]:
    """What one step of arithmetic makes of two of the numbers."""
    for a, b in permutations(numbers, 2):
        yield from (a + b, abs(a - b), a * b)
        if b:
            yield a / b


def _per_cent(given: set[float]) -> set[float]:
    return {round(number * 100, 9) for number in given}


def _digits(given: set[float]) -> set[float]:
    return {float(digit) for number in given for digit in f"{number:f}" if digit.isdigit()}


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(_COMMAND.sub(" ", text))}


def _names(text: str) -> set[str]:
    words = _WORD.findall(_COMMAND.sub(" ", _OPENING.sub(" ", _HEADER.sub(" ", text))))
    return {word.lower() for word in words if word[0].isupper() and not word.isupper()} - _NO_NAMES


def _is_number(value: str) -> bool:
    return value.lstrip("-")[0].isdigit()


def _decimals(value: str) -> int:
    return len(value.partition(".")[2])


def _rounds_to(value: float, decimals: int, given: Iterable[float]) -> bool:
    return any(abs(value - number) < max(10.0**-decimals - 1e-9, 1e-9) for number in given)
