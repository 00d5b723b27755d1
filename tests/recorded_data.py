"""The recorded data that some tests look at: TOOLPATH_SHARED_DATA, or `shared/data` beside the project. Never shipped."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("TOOLPATH_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
needs_data = pytest.mark.skipif(
    not (DATA / "reference_stats.json").is_file(), reason=f"no recorded data at {DATA} (set TOOLPATH_SHARED_DATA)"
)
