"""Groups of similar vectors: spherical k-means, for quotas by topic or by behaviour."""

import numpy as np
import polars as pl

from pipelines.curation.arrays import Floats, Positions, Vectors
from pipelines.curation.components import order_by_key
from pipelines.curation.embeddings import unit_rows
from pipelines.curation.neighbours import nearest, snap


def k_means(keys: pl.Series, vectors_ND: Vectors, num_clusters: int, seed: int, max_rounds: int = 50) -> Positions:
    """The cluster, 0 .. num_clusters - 1, of each row: rows of norm one go to the centre of highest cosine.

    Spherical k-means (Dhillon & Modha 2001) from k-means++ seeds (Arthur & Vassilvitskii 2007), until nothing moves or
    `max_rounds` have passed. Rows are put in the order of their keys first, so the order in which they come does not count.
    A cluster that runs empty keeps its centre. Cost per round: N K D. A local optimum: other seeds give others.
    Raises ValueError for a number of clusters that is not between 1 and N.
    """
    if not 1 <= num_clusters <= len(keys):
        raise ValueError(f"{num_clusters} clusters of {len(keys)} rows: take between 1 and the number of rows")
    order = order_by_key(keys)
    rows_ND = vectors_ND[order]
    centres_KD = _seeds(rows_ND, num_clusters, np.random.default_rng(seed))
    labels_N = nearest(rows_ND, centres_KD)[0]
    for _ in range(max_rounds):
        centres_KD = _centres(rows_ND, labels_N, centres_KD)
        before_N, labels_N = labels_N, nearest(rows_ND, centres_KD)[0]
        if np.array_equal(before_N, labels_N):
            break
    back_N = np.empty_like(labels_N)
    back_N[order] = labels_N
    return back_N


def _seeds(rows_ND: Vectors, num_clusters: int, rng: np.random.Generator) -> Vectors:
    """Rows drawn with a chance in proportion to their squared distance from those drawn before; evenly where all is 0."""
    exact_ND = snap(rows_ND)
    chosen = [int(rng.integers(len(rows_ND)))]
    apart_N: Floats = np.full(len(rows_ND), np.inf)
    while len(chosen) < num_clusters:
        apart_N = np.minimum(apart_N, np.maximum(2 - 2 * (exact_ND @ exact_ND[chosen[-1]]), 0))
        apart_N[chosen] = 0
        sums_N = np.cumsum(apart_N if apart_N.any() else np.isin(np.arange(len(rows_ND)), chosen, invert=True))
        drawn = np.searchsorted(sums_N, rng.random() * sums_N[-1], side="right")
        chosen.append(min(int(drawn), len(rows_ND) - 1))
    return rows_ND[chosen]


def _centres(rows_ND: Vectors, labels_N: Positions, before_KD: Vectors) -> Vectors:
    """The mean direction of each cluster; rows are added in their order."""
    sums_KD = np.zeros(before_KD.shape)
    np.add.at(sums_KD, labels_N, rows_ND.astype(np.float64))
    empty = ~sums_KD.any(axis=1)
    sums_KD[empty] = before_KD[empty]
    return unit_rows(sums_KD)
