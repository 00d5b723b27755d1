"""Which attempts fill a budget: those that stand for all, that lie far apart, or, as controls, any or the most alike.

A claim about chosen data needs its controls: the same number of rows at random, and the same number of narrow ones.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from enum import StrEnum

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from data_contracts.attempts import Attempt
from data_contracts.ids import content_hash
from data_contracts.messages import Role
from pipelines.curation.arrays import Positions, Vectors
from pipelines.curation.budget import allocate, facility_location, k_center
from pipelines.curation.components import order_by_key
from pipelines.curation.diversity import call_sequence, code_shape
from pipelines.curation.duplicates import transcript_text
from pipelines.curation.hashing_vectoriser import HashingVectoriser
from pipelines.curation.neighbours import snap

MOST_STANDING_FOR_ALL = 20_000
"""Rows up to which facility location is worth its N^2."""


class Aspect(StrEnum):
    """What of an attempt is compared."""

    QUESTION = "question"
    """The last thing that the user said before the first answer."""
    TRANSCRIPT = "transcript"
    CALLS = "calls"
    """Tools called and how the calls ended, in order."""
    CODE = "code"
    """Syntax of the programs in the calls."""


class Method(StrEnum):
    """How rows are chosen."""

    FACILITY_LOCATION = "facility_location"
    """Those that stand for all others best."""
    K_CENTER = "k_center"
    """Those that lie farthest apart."""
    RANDOM = "random"
    """Control: any."""
    NARROW = "narrow"
    """Control: a random one and those most like it."""


class BudgetRecipe(BaseModel):
    """At most so many attempts, and which.

    Example:
        BudgetRecipe(max_rows=3000, method=Method.FACILITY_LOCATION, even_domains=True, seed=0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_rows: int = Field(ge=1)
    method: Method
    aspect: Aspect = Aspect.TRANSCRIPT
    even_domains: bool = False
    """As many rows of each domain, where there are as many."""
    seed: int
    """Decides what is random in a control."""


def text_of(attempt: Attempt, aspect: Aspect) -> str:
    """What of the attempt is compared, as text for an embedder."""
    return _TEXTS[aspect](attempt)


def _question(attempt: Attempt) -> str:
    roles = [message.role for message in attempt.messages]
    end = roles.index(Role.ASSISTANT) if Role.ASSISTANT in roles else len(roles)
    return next((m.content for m in reversed(attempt.messages[:end]) if m.role is Role.USER), "")


_TEXTS: dict[Aspect, Callable[[Attempt], str]] = {
    Aspect.QUESTION: _question,
    Aspect.TRANSCRIPT: transcript_text,
    Aspect.CALLS: call_sequence,
    Aspect.CODE: code_shape,
}


def choose(attempts: Sequence[Attempt], recipe: BudgetRecipe) -> set[str]:
    """The keys of the chosen attempts; all of them where there is room. The order of the attempts does not count.

    Raises ValueError for facility location over more than MOST_STANDING_FOR_ALL rows of one domain (or in all).
    """
    if len(attempts) <= recipe.max_rows:
        return {attempt.key for attempt in attempts}
    groups: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        groups[attempt.domain if recipe.even_domains else ""].append(attempt)
    room = allocate({name: len(rows) for name, rows in groups.items()}, dict.fromkeys(groups, 1.0), recipe.max_rows)
    return {key for name, rows in groups.items() for key in _chosen(rows, recipe, room[name])}


def _chosen(attempts: Sequence[Attempt], recipe: BudgetRecipe, number: int) -> list[str]:
    keys = pl.Series([attempt.key for attempt in attempts])
    if recipe.method is Method.RANDOM:
        return sorted(keys, key=lambda key: _drawn(recipe.seed, key))[:number]
    if recipe.method is Method.FACILITY_LOCATION and len(attempts) > MOST_STANDING_FOR_ALL:
        raise ValueError(
            f"facility_location compares {len(attempts)} rows with each other, more than {MOST_STANDING_FOR_ALL}: take "
            "k_center, or filter first"
        )
    texts = pl.Series([text_of(attempt, recipe.aspect) for attempt in attempts])
    vectors_ND = HashingVectoriser().fitted(texts).embed(texts)
    return keys.gather(_positions(keys, vectors_ND, recipe, number)).to_list()


def _positions(keys: pl.Series, vectors_ND: Vectors, recipe: BudgetRecipe, number: int) -> Positions:
    if recipe.method is Method.NARROW:
        return _most_alike(keys, vectors_ND, recipe.seed, number)
    return (facility_location if recipe.method is Method.FACILITY_LOCATION else k_center)(keys, vectors_ND, number)


def _most_alike(keys: pl.Series, vectors_ND: Vectors, seed: int, number: int) -> Positions:
    """A row drawn by a hash of its key, and the rows nearest to it; of equals the first by key."""
    order = order_by_key(keys)
    rows_ND = snap(vectors_ND[order])
    names = keys.gather(order).to_list()
    anchor = min(range(len(names)), key=lambda row: _drawn(seed, names[row]))
    return order[np.argsort(-(rows_ND @ rows_ND[anchor]), kind="stable")[:number]]


def _drawn(seed: int, key: str) -> str:
    return content_hash(["choice", seed, key])
