"""Two operations, in the order of the text."""

from pipelines.sources.embedded.draws import packs, start_and_packs, triple
from pipelines.sources.embedded.phrasing import Family, Phrasing

TWO_STEP = Family(
    name="two_step",
    scarce=False,
    phrasings=(
        Phrasing(
            "{name} buys {0} boxes of {1} {things} and gives away {2}. How many are left?",
            packs,
            lambda a, b, c: a * b - c,
        ),
        Phrasing(
            "{name} fills {0} bags with {1} {things} each and finds {2} more. How many {things} now?",
            packs,
            lambda a, b, c: a * b + c,
        ),
        Phrasing(
            "{name} has {0} {things}, finds {1} more and gives away {2}. How many {things} now?",
            triple,
            lambda a, b, c: a + b - c,
        ),
        Phrasing(
            "{name} had {0} {things}, lost {1} and gives away {2}. How many are left?",
            triple,
            lambda a, b, c: a - b - c,
        ),
        Phrasing(
            "{name} has {0} {things} and buys {1} boxes of {2}. How many {things} now?",
            start_and_packs,
            lambda a, b, c: a + b * c,
        ),
    ),
)
