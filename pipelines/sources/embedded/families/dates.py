"""Days of one month."""

from pipelines.sources.embedded.draws import day_and_after, day_and_before, day_and_weeks, two_days
from pipelines.sources.embedded.phrasing import Family, Phrasing

DATES = Family(
    name="dates",
    scarce=False,
    phrasings=(
        Phrasing("How many days is it from {month} {0} to {month} {1}?", two_days, lambda a, b: b - a),
        Phrasing("Today is {month} {0}. Which day is it in {1} days?", day_and_after, lambda a, b: a + b),
        Phrasing("Today is {month} {0}. Which day was it {1} days ago?", day_and_before, lambda a, b: a - b),
        Phrasing("Today is {month} {0}. Which day is it in {1} weeks?", day_and_weeks, lambda a, b: a + b * 7),
    ),
)
