"""Names for the arrays of curation."""

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Hashes = NDArray[np.uint64]
Positions = NDArray[np.int64]
"""Indices into another array, or bounds in it."""
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
"""(N, D), each row of norm one, or zero."""
