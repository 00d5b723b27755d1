"""A phrasing: a text with gaps, the numbers that fit into it, and the answer that follows from them."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from pipelines.sources.embedded.words import MONTHS, NAMES, THINGS

Draw = Callable[[Random], tuple[int, ...]]


@dataclass(frozen=True)
class Problem:
    """A question with its answer."""

    text: str
    substance: str
    """The text without its names and things: two problems of equal substance are the same problem."""
    answer: int


@dataclass(frozen=True)
class Phrasing:
    """One way to ask.

    Example:
        Phrasing("{name} has {0} {things} and finds {1} more. How many now?", pair, lambda a, b: a + b)
    """

    text: str
    """Gaps: {0}, {1}, ... for numbers, {list} for all of them, {name}, {other}, {things}, {month}."""
    draw: Draw
    answer: Callable[..., int]
    """Of the numbers, in order."""

    def fill(self, rng: Random) -> Problem:
        """Draw numbers and words."""
        numbers = self.draw(rng)
        name, other = rng.sample(NAMES, 2)
        fixed = {"list": ", ".join(map(str, numbers)), "month": rng.choice(MONTHS)}
        text = self.text.format(*numbers, **fixed, name=name, other=other, things=rng.choice(THINGS))
        substance = self.text.format(*numbers, **fixed, name="A", other="B", things="things")
        return Problem(text=text, substance=substance, answer=self.answer(*numbers))


@dataclass(frozen=True)
class Family:
    """Phrasings that belong together: one domain of tasks."""

    name: str
    scarce: bool
    """Whether the teacher's data hold only a handful of these."""
    phrasings: tuple[Phrasing, ...]
