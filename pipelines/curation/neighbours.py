"""The nearest of a set of vectors: for coverage, for semantic duplicates, for evaluation items in other words."""

import numpy as np

from pipelines.curation.arrays import Floats, Positions, Vectors

BLOCK_ROWS = 1024
GRID = float(1 << 24)


def snap(vectors_ND: Vectors) -> Floats:
    """Unit vectors rounded to multiples of 2^-24, in float64.

    Their dot products are multiples of 2^-48 of size at most one, which float64 holds exactly: no order of summation, BLAS
    or number of threads changes a bit, so ties and choices are the same everywhere.
    """
    snapped_ND: Floats = np.rint(vectors_ND.astype(np.float64) * GRID) / GRID
    return snapped_ND


def nearest(vectors_ND: Vectors, among_MD: Vectors) -> tuple[Positions, Floats]:
    """Index of the most similar of M vectors for each of N (the first of equals), and the cosine similarity.

    Exact search: N M D multiplications, memory for BLOCK_ROWS x M numbers. Raises ValueError where M is zero.
    """
    if not len(among_MD):
        raise ValueError("there are no vectors to be near to: hand in at least one")
    among_DM = snap(among_MD).T
    indices_N, similarities_N = np.empty(len(vectors_ND), np.int64), np.empty(len(vectors_ND))
    for at in range(0, len(vectors_ND), BLOCK_ROWS):
        block = slice(at, at + BLOCK_ROWS)
        found = snap(vectors_ND[block]) @ among_DM
        indices_N[block] = found.argmax(axis=1)
        similarities_N[block] = found.max(axis=1)
    return indices_N, similarities_N


def distances(similarities_N: Floats) -> Floats:
    """Euclidean distance of unit vectors of these cosine similarities: sqrt(2 - 2 cos)."""
    apart_N: Floats = np.sqrt(np.maximum(2 - 2 * similarities_N, 0))
    return apart_N
