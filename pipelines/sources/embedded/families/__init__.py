"""All families. The common ones are well covered by the teacher's data; the scarce ones ask for the same operations in
other words or another order."""

from pipelines.sources.embedded.families.balance import BALANCE
from pipelines.sources.embedded.families.compare import COMPARE
from pipelines.sources.embedded.families.dates import DATES
from pipelines.sources.embedded.families.list_question import LIST_QUESTION
from pipelines.sources.embedded.families.list_words import LIST_WORDS
from pipelines.sources.embedded.families.one_step import ONE_STEP
from pipelines.sources.embedded.families.question_first import QUESTION_FIRST
from pipelines.sources.embedded.families.sharing import SHARING
from pipelines.sources.embedded.families.three_step import THREE_STEP
from pipelines.sources.embedded.families.two_step import TWO_STEP
from pipelines.sources.embedded.phrasing import Family

FAMILIES: tuple[Family, ...] = (
    ONE_STEP,
    TWO_STEP,
    THREE_STEP,
    SHARING,
    LIST_QUESTION,
    DATES,
    BALANCE,
    QUESTION_FIRST,
    COMPARE,
    LIST_WORDS,
)


def scarce_families() -> frozenset[str]:
    """The domains that the teacher's data barely hold."""
    return frozenset(family.name for family in FAMILIES if family.scarce)
