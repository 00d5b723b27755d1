"""Near-duplicates: texts that share most of their shingles. MinHash finds candidates, a check of each pair decides.

Two texts are near-duplicates where the Jaccard similarity of their sets of shingles reaches the threshold; clusters are
the connected components, so two texts of one cluster can be less alike. Texts without any word are left alone.
"""

from collections.abc import Callable
from enum import StrEnum

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from pipelines.curation.arrays import Floats, Hashes, Mask, Positions
from pipelines.curation.components import components, connect, order_by_key, ranks_of, representatives
from pipelines.curation.minhash import (
    Bands,
    Signatures,
    band_keys,
    choose_bands,
    estimate,
    is_empty,
    signatures,
)
from pipelines.curation.shingles import Units, batches, characters, ngrams, words

WINDOW = 8
"""A text is compared with so many texts before it in its bucket and with the bucket's first."""
PAIRS_AT_A_TIME = 1024
SLACK = 5.0
"""Pairs whose estimate lies so many standard deviations below the threshold are not compared in full."""


class ShingleUnit(StrEnum):
    """What shingles are made of."""

    WORDS = "words"
    CHARACTERS = "characters"


class NearDuplicateRecipe(BaseModel):
    """Which texts count as the same.

    Example:
        NearDuplicateRecipe(threshold=0.7, unit=ShingleUnit.CHARACTERS, shingle_size=12)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(default=0.8, gt=0, le=1)
    """Jaccard similarity of the sets of shingles."""
    recall: float = Field(default=0.99, gt=0, lt=1)
    """Probability that a pair at the threshold is looked at; pairs above it more often (`minhash.Bands.recall`)."""
    num_bins: int = Field(default=128, ge=1, le=65536)
    """Length of a signature; 4 bytes of memory each per text."""
    unit: ShingleUnit = ShingleUnit.WORDS
    shingle_size: int = Field(default=5, ge=1)
    """Units per shingle; a shorter text is one shingle."""
    exact: bool = True
    """Compare the shingles of candidate pairs themselves (as 64-bit hashes). False: trust the estimate, whose standard
    deviation is about sqrt(s (1 - s) / num_bins), so half of the pairs right at the threshold are missed."""

    def bands(self) -> Bands:
        """How signatures are cut. Raises ValueError where `num_bins` are too few for this recall."""
        return choose_bands(self.threshold, self.recall, self.num_bins)


def find_near_duplicates(
    keys: pl.Series, texts: pl.Series, recipe: NearDuplicateRecipe, quality: pl.Series | None = None
) -> pl.DataFrame:
    """`cluster_near_duplicates` of texts that all fit into memory."""
    return cluster_near_duplicates(keys, sketch(texts, recipe), recipe, texts.gather, quality)


def sketch(texts: pl.Series, recipe: NearDuplicateRecipe) -> Signatures:
    """(B, num_bins) signatures of texts. A stream of texts can be sketched part by part."""
    parts = [signatures(_shingles(part, recipe), recipe.num_bins) for part in batches(texts)]
    return np.concatenate([np.empty((0, recipe.num_bins), np.uint32), *parts])


def cluster_near_duplicates(
    keys: pl.Series,
    signatures_BK: Signatures,
    recipe: NearDuplicateRecipe,
    texts_of: Callable[[Positions], pl.Series],
    quality: pl.Series | None = None,
) -> pl.DataFrame:
    """For each row the representative of its cluster: that of the best quality, then of the smallest key.

    keys: (B,) unique strings. signatures_BK: from `sketch`, parallel to keys. texts_of: the texts at some positions, asked
    for where the recipe is exact, at most 2 * PAIRS_AT_A_TIME at once. quality: (B,) numbers, higher is better, null is
    worst; without it the smallest key decides.

    Returns key, representative, estimate (of the similarity of the two; null for a representative), by key: the same for
    any order of rows. Raises ValueError for keys that come twice and for a quality that is not a number.
    """
    order = order_by_key(keys)
    sorted_BK = signatures_BK[order]
    labels_B = _cluster(sorted_BK, recipe, lambda rows: texts_of(order[rows]))
    best_B = representatives(labels_B, ranks_of(quality, len(keys))[order])
    alike_B = estimate(sorted_BK, sorted_BK[best_B])
    sorted_keys = keys.gather(order).alias("key")
    found = pl.DataFrame(
        [sorted_keys, sorted_keys.gather(best_B).alias("representative"), pl.Series("estimate", alike_B)]
    )
    alone = pl.col("key") == pl.col("representative")
    return found.with_columns(estimate=pl.when(~alone).then("estimate"))


def _shingles(texts: pl.Series, recipe: NearDuplicateRecipe) -> Units:
    cut = words if recipe.unit is ShingleUnit.WORDS else characters
    return ngrams(cut(texts), recipe.shingle_size)


def _cluster(
    signatures_BK: Signatures, recipe: NearDuplicateRecipe, texts_of: Callable[[Positions], pl.Series]
) -> Positions:
    """Labels of components. Rows are in the order of their keys, so which pairs are looked at depends on nothing else."""
    bands = recipe.bands()
    worded = np.flatnonzero(~is_empty(signatures_BK))
    labels_B = components(len(signatures_BK))
    for band in range(bands.bands):
        left_P, right_P = (worded[side] for side in _bucket_pairs(band_keys(signatures_BK[worded], bands, band)))
        apart = labels_B[left_P] != labels_B[right_P]
        left_P, right_P = left_P[apart], right_P[apart]
        alike = _alike(signatures_BK, left_P, right_P, recipe, texts_of)
        labels_B = connect(labels_B, left_P[alike], right_P[alike])
    return labels_B


def _bucket_pairs(keys_B: Hashes) -> tuple[Positions, Positions]:
    """Pairs of rows with equal keys: each row with the WINDOW before it and with the first; linear in the rows.

    In a bucket of more than WINDOW + 1 rows the other pairs are joined through these or in another band.
    """
    order = np.argsort(keys_B, kind="stable")
    sorted_B = keys_B[order]
    new = np.concatenate([[True], sorted_B[1:] != sorted_B[:-1]])[: len(order)]
    first_B = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    far = np.flatnonzero(np.arange(len(order)) - first_B > WINDOW)
    lefts, rights = [order[first_B[far]]], [order[far]]
    for distance in range(1, min(WINDOW, len(order) - 1) + 1):
        same = sorted_B[distance:] == sorted_B[:-distance]
        lefts.append(order[:-distance][same])
        rights.append(order[distance:][same])
    return np.concatenate(lefts), np.concatenate(rights)


def _alike(
    signatures_BK: Signatures,
    left_P: Positions,
    right_P: Positions,
    recipe: NearDuplicateRecipe,
    texts_of: Callable[[Positions], pl.Series],
) -> Mask:
    """Which of the pairs reach the threshold."""
    needed = recipe.threshold
    if recipe.exact:
        needed -= SLACK * (needed * (1 - needed) / recipe.num_bins) ** 0.5
    alike = np.zeros(len(left_P), bool)
    for start in range(0, len(left_P), PAIRS_AT_A_TIME):
        part = np.arange(start, min(start + PAIRS_AT_A_TIME, len(left_P)))
        part = part[estimate(signatures_BK[left_P[part]], signatures_BK[right_P[part]]) >= needed]
        if recipe.exact and len(part):
            part = part[_jaccard(left_P[part], right_P[part], recipe, texts_of) >= recipe.threshold]
        alike[part] = True
    return alike


def _jaccard(
    left_P: Positions, right_P: Positions, recipe: NearDuplicateRecipe, texts_of: Callable[[Positions], pl.Series]
) -> Floats:
    """Similarity of the sets of shingles themselves."""
    rows, at = np.unique(np.concatenate([left_P, right_P]), return_inverse=True)
    units = _shingles(texts_of(rows), recipe)
    sets = [np.unique(part) for part in np.split(units.hashes_T, units.offsets_B[1:-1])]
    pairs = zip(at[: len(left_P)].tolist(), at[len(left_P) :].tolist(), strict=True)
    return np.array([_overlap(sets[left], sets[right]) for left, right in pairs])


def _overlap(left: Hashes, right: Hashes) -> float:
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)
