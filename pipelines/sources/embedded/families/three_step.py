"""Three operations in a chain."""

from pipelines.sources.embedded.draws import packs_and_two, quadruple
from pipelines.sources.embedded.phrasing import Family, Phrasing

THREE_STEP = Family(
    name="three_step",
    scarce=False,
    phrasings=(
        Phrasing(
            "{name} buys {0} boxes of {1} {things}, finds {2} more and gives away {3}. How many {things} now?",
            packs_and_two,
            lambda a, b, c, d: a * b + c - d,
        ),
        Phrasing(
            "{name} fills {0} bags with {1} {things} each, lost {2} and gives away {3}. How many are left?",
            packs_and_two,
            lambda a, b, c, d: a * b - c - d,
        ),
        Phrasing(
            "{name} has {0} {things}, finds {1} more, lost {2} and gives away {3}. How many {things} now?",
            quadruple,
            lambda a, b, c, d: a + b - c - d,
        ),
        Phrasing(
            "{name} had {0} {things}, lost {1}, finds {2} more and gives away {3}. How many are left?",
            quadruple,
            lambda a, b, c, d: a - b + c - d,
        ),
    ),
)
