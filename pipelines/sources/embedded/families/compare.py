"""Two owners are compared. The word that stands nearest is not always the operation."""

from pipelines.sources.embedded.draws import factors, pair
from pipelines.sources.embedded.phrasing import Family, Phrasing

COMPARE = Family(
    name="compare",
    scarce=True,
    phrasings=(
        Phrasing("{name} owns {0} {things}, {other} {1}. How many fewer has {other}?", pair, lambda a, b: a - b),
        Phrasing("{name} owns {1} {things}, {other} {0}. How many fewer has {name}?", pair, lambda a, b: a - b),
        Phrasing("{name} owns {0} {things}, {1} fewer than {other}. How many has {other}?", pair, lambda a, b: a + b),
        Phrasing("{name} owns {0} {things}, {1} above {other}. How many has {other}?", pair, lambda a, b: a - b),
        Phrasing("{name} owns {0} times the {1} {things} of {other}. How many?", factors, lambda a, b: a * b),
    ),
)
