"""Connected components: union-find on arrays."""

import numpy as np

from pipelines.curation.arrays import Positions


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
