"""Whether the answer rests on what a tool said."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from data_contracts.attempts import CallStatus
from data_contracts.messages import Role
from pipelines.curation.recipes import SftDataRecipe
from pipelines.curation.rules.counters import without_counters
from pipelines.curation.rules.rule import Case, Evidence, excerpt

_BOXED = re.compile(r"\\boxed\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_SOLUTION = re.compile(r"<solution>([^<]*)</solution>")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?")
_FRACTION = re.compile(r"(?<![\w./])(-?\d+)\s*/\s*(\d+)(?![\w./])")
_FRAC = re.compile(r"\\[dt]?frac\{(\d{1,9})\}\{(\d{1,9})\}")
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_AMOUNT = r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?"
_CODE = re.compile(r"^[ \t]*(?:def|class|import|from) \w+|^[ \t]*```", re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]{4,}")
_ITEM = re.compile(r"^[ \t]*\d+[.)]\s", re.MULTILINE)
_OPENING = re.compile(r"(?:^|[.!?:>])[ \t]*[^\W\d_]+(?:['’]\w+)?(?:[,!]|(?=\s+(?:[a-z]|I\b)))", re.MULTILINE)
"""A word that is capitalised for where it stands: "The vase", "However, Eve", "Since I"."""
_HEADER = re.compile(r"\b(?:Source|Destination): (?:assistant|user)\b|\bEOT: true\b")
"""Of CodeLlama-70b's chat format, which it goes on to write."""
_EQUATION = re.compile(rf"({_AMOUNT})\s*(?:[-+*/×÷]|\\times|\\cdot|\\div)\s*({_AMOUNT})\s*=\s*({_AMOUNT})(?![\w]|\.\d)")
_PER_CENT = re.compile(r"%|\bper ?cent")
_DIGIT = re.compile(r"\bdigit\b")
_LAYOUT = re.compile(r"\\[()\[\],!]|\\?\$|[()]")
_NO_NAMES = frozenset({"unknown", "none", "neither", "nothing"})


@dataclass(frozen=True)
class UngroundedAnswer(Evidence):
    """The answer, none of whose values a tool gave."""

    answer: str
    values: str
    """What was looked for in the results, by comma."""


def ungrounded_answer(case: Case, recipe: SftDataRecipe) -> UngroundedAnswer | None:
    """Nothing that the answer adds to what the user said stands in a result. Taste: off by default (`needs_grounded_answer`).

    A right answer may be one step of mental arithmetic away from a result: such a row breaks the rule.
    """
    if not recipe.needs_grounded_answer or rests_on_tool(case) is not False:
        return None
    answer = case.attempt.final_answer or ""
    return UngroundedAnswer(excerpt(answer), excerpt(",".join(sorted(_new_values(case)))))


def rests_on_tool(case: Case) -> bool | None:
    """Whether some value of the answer stands in the result of a successful call, and in no message of system or user.

    Values are the numbers of all `\\boxed{}` or `<solution>`, else of the whole answer, those of a list's items left
    out; where it has none, its names (capitalised words of four letters or more that do not merely begin a sentence). A
    number stands in a result also where it is a result's number or fraction rounded, up or down, whatever the sign; where
    an equation that the answer writes out makes it of one; as a percentage; or as a digit, where a digit is asked for. None
    where it cannot be said: a dialogue (its last words are no answer), code (running it tells), no answer, no successful
    call, or an answer that adds nothing to what was asked.
    """
    results = [without_counters(call.result) for _, call in case.calls if call.status is CallStatus.OK]
    unsaid = _is_dialogue(case) or _CODE.search(_stated(case))
    values = set() if unsaid or not results else _new_values(case)
    if not results or not values:
        return None
    numbers = [value for value in values if _is_number(value)]
    if not numbers:
        return bool(values & {word for text in results for word in _words(text)})
    given = {value for text in results for value in _given(text)}
    answer = case.attempt.final_answer or ""
    given |= _worked_out(answer, given) | (_per_cent(given) if _PER_CENT.search(answer) else set())
    given |= _digits(given) if _DIGIT.search(answer) else set()
    return any(_rounds_to(abs(float(value)), _decimals(value), given) for value in numbers)


def _is_dialogue(case: Case) -> bool:
    roles = [message.role for message in case.attempt.messages]
    return Role.ASSISTANT in roles and Role.USER in roles[roles.index(Role.ASSISTANT) :]


def _stated(case: Case) -> str:
    """All that the answer marks as such, else all of it."""
    answer = case.attempt.final_answer or ""
    marked: list[str] = _BOXED.findall(answer) or _SOLUTION.findall(answer)
    return "\n".join(marked) or answer


def _new_values(case: Case) -> set[str]:
    answer = _ITEM.sub("", _stated(case))
    told = " ".join(m.content for m in case.attempt.messages if m.role in (Role.SYSTEM, Role.USER))
    return (_numbers(answer) or _names(answer)) - _numbers(told) - _words(told)


def _numbers(text: str) -> set[str]:
    return {number.replace(",", "") for number in _NUMBER.findall(_FRACTION.sub(_decimal, _FRAC.sub(_decimal, text)))}


def _decimal(fraction: re.Match[str]) -> str:
    p, q = float(fraction[1]), float(fraction[2])
    return f"{p / q:.4f}" if q else fraction[0]


def _given(text: str) -> set[float]:
    """Absolute values of the numbers and fractions of a result."""
    fractions = {abs(float(p) / float(q)) for p, q in _FRACTION.findall(text) if float(q)}
    return fractions | {abs(float(number.replace(",", ""))) for number in _NUMBER.findall(text)}


def _worked_out(answer: str, given: set[float]) -> set[float]:
    """What equations of the answer make of given numbers, one after the other."""
    found = set[float]()
    for terms in _EQUATION.findall(_LAYOUT.sub("", answer)):
        left, right, result = (abs(float(term.replace(",", ""))) for term in terms)
        if any(_rounds_to(term, 6, given | found) for term in (left, right)):
            found.add(result)
    return found


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
