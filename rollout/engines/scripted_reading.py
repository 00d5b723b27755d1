"""How the scripted teacher reads a question: numbers in order and key words give an expression.

It reads short word problems in English as the embedded source asks them, and nothing else: no number words, no fractions.
"""

import re
from dataclasses import dataclass

LIST = re.compile(r"\d+(?:, \d+){2,}")
LIST_RULES = (
    (r"without the largest", "sum(v)-max(v)"),
    (r"how far", "max(v)-min(v)"),
    (r"sum|heap", "sum(v)"),
    (r"largest|top", "max(v)"),
    (r"smallest|bottom", "min(v)"),
    (r"median", "sorted(v)[{middle}]"),
    (r"how many", "len(v)"),
)
"""Key words and what is asked of the list `v`. The first that fits counts."""

PAIR_RULES = (
    (r"from \w+ \d+ to", "{1}-{0}"),
    (r"when \d+ of", "{1}-{0}"),
    (r"weeks", "{0}+{1}*7"),
    (r"days ago|above|minus|colder|owes", "{0}-{1}"),
    (r"in \d+ days|fewer than", "{0}+{1}"),
    (r"how many fewer", "{large}-{small}"),
    (r"left over", "{0}%{1}"),
    (r"full boxes|each get", "{0}//{1}"),
)
"""Key words and an expression over the numbers in order. The first that fits counts."""

STEP_RULES = (
    (r"boxes of|packs of|rows of|bags with|times", "*"),
    (r"lost|gives away|sold", "-"),
    (r"finds|adds|buys|at first", "+"),
)
"""Words between two numbers and the operation that they stand for. The first that fits counts."""

VERBS = {"+": "add", "-": "subtract", "*": "multiply", "//": "divide", "%": "take the rest", "sum": "sum up"}
VERBS |= {"max": "find the largest", "min": "find the smallest", "len": "count", "sorted": "sort"}
VERBS |= {"list": "take the middle"}
OPERATION = re.compile(r"//|[-+*%]|sum|max|min|len|sorted|list")
CONFUSIONS = {
    "+": "-",
    "-": "+",
    "*": "+",
    "//": "%",
    "%": "//",
    "sum": "max",
    "max": "min",
    "min": "max",
    "len": "sum",
}
CONFUSIONS |= {"sorted": "list"}
"""What a hasty reader takes an operation for; `list` leaves the numbers unsorted."""


@dataclass(frozen=True)
class Plan:
    """What to compute: an expression, over the list `v` where one is given.

    Example:
        Plan("max(v)-min(v)", given="[3,9,4]")
    """

    expression: str
    given: str = ""

    def words(self) -> str:
        """The plan in words, e.g. `multiply, subtract`."""
        return ", ".join(VERBS[operation] for operation in OPERATION.findall(self.expression))

    def codes(self) -> tuple[str, ...]:
        """Python programs that print the result, the shortest first."""
        if not self.given:
            return (f"print({self.expression})",)
        named = f"v={self.given};print({self.expression})"
        direct = f"print({self.expression.replace('(v)', f'({self.given})')})"
        return (direct, named) if self.expression.count("(v)") == 1 else (named,)

    def confused(self) -> "Plan":
        """The plan of a hasty reader: the first operation is taken for another one."""
        wrong = OPERATION.sub(lambda match: CONFUSIONS[match[0]], self.expression, count=1)
        return Plan(wrong, self.given)


def read(question: str) -> Plan | None:
    """The plan for a question; None where the rules do not understand it."""
    text = question.lower()
    if found := LIST.search(text):
        return _read_list(text, found[0].split(", "))
    numbers = re.findall(r"\d+", text)
    if len(numbers) < 2:
        return None
    return _read_pair(text, numbers) or _read_chain(text, numbers)


def _first(rules: tuple[tuple[str, str], ...], text: str) -> str | None:
    return next((meaning for pattern, meaning in rules if re.search(pattern, text)), None)


def _read_list(text: str, items: list[str]) -> Plan | None:
    expression = _first(LIST_RULES, text)
    if expression is None:
        return None
    return Plan(expression.format(middle=len(items) // 2), given=f"[{','.join(items)}]")


def _read_pair(text: str, numbers: list[str]) -> Plan | None:
    expression = _first(PAIR_RULES, text)
    if expression is None or len(numbers) != 2:
        return None
    small, large = sorted(numbers, key=int)
    return Plan(expression.format(*numbers, small=small, large=large))


def _read_chain(text: str, numbers: list[str]) -> Plan | None:
    """Number, operation, number, ...: each operation stands in the words before its number."""
    steps = [_first(STEP_RULES, words) for words in re.split(r"\d+", text)[1:-1]]
    known = [step for step in steps if step is not None]
    if len(known) < len(steps):
        return None
    return Plan(numbers[0] + "".join(step + number for step, number in zip(known, numbers[1:], strict=True)))
