"""The question comes first, in other words, and the numbers may come in the other order."""

from pipelines.sources.embedded.draws import factors, packs, pair
from pipelines.sources.embedded.phrasing import Family, Phrasing

QUESTION_FIRST = Family(
    name="question_first",
    scarce=True,
    phrasings=(
        Phrasing("How many {things} remain of {0} once {name} has sold {1}?", pair, lambda a, b: a - b),
        Phrasing("How many {things} remain when {1} of {0} break?", pair, lambda a, b: a - b),
        Phrasing("How many {things} does {name} own with {0} at first and {1} as a gift?", pair, lambda a, b: a + b),
        Phrasing("How many {things} stand in {0} rows of {1}?", factors, lambda a, b: a * b),
        Phrasing(
            "How many {things} remain of {0} packs of {1} once {name} has sold {2}?", packs, lambda a, b, c: a * b - c
        ),
    ),
)
