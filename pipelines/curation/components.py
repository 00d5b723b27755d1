"""Connected components of rows, and which row stands for its component: union-find on arrays.

Rows are first put in the order of their keys; then nothing depends on the order in which they came.
"""

import numpy as np
import polars as pl

from pipelines.curation.arrays import Floats, Positions


def order_by_key(keys: pl.Series) -> Positions:
    """Positions of the rows in the order of their keys. Raises ValueError for a key that comes twice."""
    if keys.n_unique() != len(keys):
        twice = keys.filter(keys.is_duplicated()).sort()
        raise ValueError(f"{twice[0]} comes more than once: hand in every row once")
    return keys.arg_sort().to_numpy().astype(np.int64)


def components(num_rows: int) -> Positions:
    """Labels of rows that nothing connects: each its own index."""
    return np.arange(num_rows)


def connect(labels_B: Positions, left_P: Positions, right_P: Positions) -> Positions:
    """Labels after P more edges: each row's label is the smallest index of its component, whatever the order of edges.

    All edges at once: the larger root of each edge is hung below the smallest root that asks for it, then paths are
    halved until every row points at its root; repeated until no edge joins two components.
    """
    labels_B = labels_B.copy()
    while True:
        left_root, right_root = labels_B[left_P], labels_B[right_P]
        if np.array_equal(left_root, right_root):
            return labels_B
        np.minimum.at(labels_B, np.maximum(left_root, right_root), np.minimum(left_root, right_root))
        while not np.array_equal(above := labels_B[labels_B], labels_B):
            labels_B = above


def ranks_of(quality: pl.Series | None, num_rows: int) -> Floats:
    """(B,) numbers, higher is better; null is worst, no quality is all equal. Raises ValueError for NaN."""
    if quality is None:
        return np.zeros(num_rows)
    numbers = quality.cast(pl.Float64).fill_null(-np.inf)
    if numbers.is_nan().any():
        raise ValueError("quality holds NaN, which is neither better nor worse: give null where it was not measured")
    return numbers.to_numpy()


def representatives(labels_B: Positions, quality_B: Floats) -> Positions:
    """For each row the best of its component, then the first: rows are in the order of their keys."""
    by_label = np.lexsort((np.arange(len(labels_B)), -quality_B, labels_B))
    first = np.unique(labels_B[by_label], return_index=True)[1]
    best_B = np.empty_like(labels_B)
    best_B[labels_B[by_label[first]]] = by_label[first]
    return best_B[labels_B]
