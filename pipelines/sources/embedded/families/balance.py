"""A difference that may fall below zero: whoever answers it must copy the sign."""

from pipelines.sources.embedded.draws import two_numbers
from pipelines.sources.embedded.phrasing import Family, Phrasing

BALANCE = Family(
    name="balance",
    scarce=False,
    phrasings=(
        Phrasing("What is {0} minus {1}?", two_numbers, lambda a, b: a - b),
        Phrasing("It is {0} degrees and gets {1} degrees colder. How many now?", two_numbers, lambda a, b: a - b),
        Phrasing("{name} has {0} coins and owes {1}. What is the balance?", two_numbers, lambda a, b: a - b),
    ),
)
