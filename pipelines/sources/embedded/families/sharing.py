"""Division: whole groups, equal shares, and what is left over."""

from pipelines.sources.embedded.draws import division, shares
from pipelines.sources.embedded.phrasing import Family, Phrasing

SHARING = Family(
    name="sharing",
    scarce=False,
    phrasings=(
        Phrasing("{name} packs {0} {things} in boxes of {1}. How many full boxes?", division, lambda a, b: a // b),
        Phrasing("{name} packs {0} {things} in boxes of {1}. How many are left over?", division, lambda a, b: a % b),
        Phrasing("{name} shares {0} {things} among {1} friends. How many does each get?", shares, lambda a, b: a // b),
    ),
)
