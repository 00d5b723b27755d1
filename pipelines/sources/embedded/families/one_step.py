"""One operation on two numbers."""

from pipelines.sources.embedded.draws import factors, pair
from pipelines.sources.embedded.phrasing import Family, Phrasing

ONE_STEP = Family(
    name="one_step",
    scarce=False,
    phrasings=(
        Phrasing("{name} has {0} {things} and finds {1} more. How many {things} now?", pair, lambda a, b: a + b),
        Phrasing("A box has {0} {things}. {name} adds {1}. How many {things} now?", pair, lambda a, b: a + b),
        Phrasing("{name} has {0} {things} and gives away {1}. How many are left?", pair, lambda a, b: a - b),
        Phrasing("{name} had {0} {things} but lost {1}. How many are left?", pair, lambda a, b: a - b),
        Phrasing("{name} fills {0} bags with {1} {things} each. How many {things}?", factors, lambda a, b: a * b),
        Phrasing("{name} buys {0} boxes of {1} {things}. How many {things}?", factors, lambda a, b: a * b),
    ),
)
