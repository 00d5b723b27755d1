"""Rows that hold an evaluation item."""

from dataclasses import dataclass

from pipelines.curation.recipes import SftDataRecipe
from pipelines.curation.rules.rule import Case, Evidence


@dataclass(frozen=True)
class HeldItem(Evidence):
    """The item that the row holds most of."""

    item: str
    item_share: float
    min_item_share: float


def contaminated(case: Case, recipe: SftDataRecipe) -> HeldItem | None:
    """The attempt, or its question, holds an evaluation item, or as much of one as the recipe says. Correctness: on."""
    share, overlap = recipe.min_item_share, case.overlap
    if share is None or overlap is None or overlap.item_share < share:
        return None
    return HeldItem(overlap.item, round(overlap.item_share, 4), share)
