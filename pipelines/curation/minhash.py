"""MinHash signatures from one hash per shingle, and the bands that find similar ones.

One-permutation hashing (Li, Owen, Zhang 2012, arXiv 1208.1259): a shingle's hash chooses one of K bins, each bin keeps its
smallest value; K hash functions would cost K times as much. A bin that stays empty borrows from the first full bin in a
fixed random order of its own (optimal densification, Shrivastava 2017, arXiv 1703.04664). For two sets the share of equal
bins then estimates their Jaccard similarity without bias, with a standard deviation of about sqrt(s (1 - s) / K)
(up to 1.3 times that for sets smaller than K).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipelines.curation.arrays import Floats, Hashes, Mask, Positions
from pipelines.curation.shingles import Units, mix

Signatures = NDArray[np.uint32]
"""(B, K): the smallest value in each of K bins, for B texts."""
EMPTY = np.uint32(0xFFFFFFFF)
"""A bin without a value; only texts without any shingle keep it."""
ORDER_SEED = 0
"""Draws the order in which empty bins borrow: signatures of different seeds cannot be compared."""
BLOCK_TEXTS = 128
"""Texts whose bins are filled at a time."""


@dataclass(frozen=True)
class Bands:
    """How signatures are cut: pairs that agree on all rows of at least one band are looked at.

    A pair of similarity s is found with probability 1 - (1 - s^rows)^bands (Leskovec, Rajaraman, Ullman, Mining of
    Massive Datasets, section 3.4).
    """

    bands: int
    rows: int

    def recall(self, similarity: float) -> float:
        """Probability that a pair of this Jaccard similarity is looked at."""
        return float(1 - (1 - similarity**self.rows) ** self.bands)


def choose_bands(threshold: float, recall: float, num_bins: int) -> Bands:
    """The most selective bands (most rows) that find pairs at the threshold with at least this probability.

    Raises ValueError where no cut of `num_bins` bins does.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold} is no Jaccard similarity: take one in (0, 1]")
    for rows in range(num_bins, 0, -1):
        cut = Bands(num_bins // rows, rows)
        if cut.recall(threshold) >= recall:
            return cut
    raise ValueError(
        f"{num_bins} bins find pairs of similarity {threshold} with probability {Bands(num_bins, 1).recall(threshold):.4f} "
        f"at most, not {recall}: take more bins or a lower recall"
    )


def signatures(shingles: Units, num_bins: int) -> Signatures:
    """(B, num_bins) signatures; a text without shingles has `EMPTY` everywhere. Memory: 4 bytes per bin and text."""
    num_texts, hashes_T = len(shingles.lengths_B), shingles.hashes_T
    bins_T = ((hashes_T >> np.uint64(32)) * np.uint64(num_bins)) >> np.uint64(32)
    values_T = np.minimum(hashes_T.astype(np.uint32), EMPTY - np.uint32(1))
    minima = np.full(num_texts * num_bins, EMPTY, np.uint32)
    np.minimum.at(minima, shingles.rows_T * num_bins + bins_T.astype(np.int64), values_T)
    return _densify(minima.reshape(num_texts, num_bins))


def is_empty(signatures_BK: Signatures) -> Mask:
    """Which texts had no shingle."""
    empty_B: Mask = signatures_BK[:, 0] == EMPTY
    return empty_B


def estimate(left_PK: Signatures, right_PK: Signatures) -> Floats:
    """Estimated Jaccard similarity of P pairs: the share of equal bins."""
    shares_P: Floats = (left_PK == right_PK).mean(axis=1, dtype=np.float64)
    return shares_P


def band_keys(signatures_BK: Signatures, bands: Bands, band: int) -> Hashes:
    """One 64-bit key per text for this band: equal where all rows of the band are equal."""
    keys_B = np.zeros(len(signatures_BK), np.uint64)
    for column in range(band * bands.rows, (band + 1) * bands.rows):
        keys_B = mix(keys_B + signatures_BK[:, column].astype(np.uint64) + np.uint64(1))
    return keys_B


def _densify(minima_BK: Signatures) -> Signatures:
    """Fill empty bins: bin k takes the value of the bin, among those that are full, that comes first in order[k]."""
    order_KK = borrowing_order(minima_BK.shape[1])
    ranks_KK = np.ascontiguousarray(order_KK.argsort(axis=1).T.astype(np.min_scalar_type(len(order_KK))))
    full_BK = minima_BK != EMPTY
    some = np.flatnonzero(full_BK.any(axis=1) & ~full_BK.all(axis=1))
    for start in range(0, len(some), BLOCK_TEXTS):
        rows = some[start : start + BLOCK_TEXTS]
        counts_R = full_BK[rows].sum(axis=1)
        first_R = np.concatenate([[0], np.cumsum(counts_R)[:-1]])
        best_RK = np.minimum.reduceat(ranks_KK[np.nonzero(full_BK[rows])[1]], first_R, axis=0)
        lent_RK = np.take_along_axis(minima_BK[rows], order_KK[np.arange(order_KK.shape[0]), best_RK], axis=1)
        minima_BK[rows] = np.where(full_BK[rows], minima_BK[rows], lent_RK)
    return minima_BK


@lru_cache(maxsize=4)
def borrowing_order(num_bins: int) -> Positions:
    """(K, K): for each bin a random order of all bins."""
    drawn: Positions = np.random.default_rng(ORDER_SEED).random((num_bins, num_bins)).argsort(axis=1)
    return drawn
