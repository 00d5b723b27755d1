"""The state of every random generator that a process has: Python's, numpy's, torch's."""

import io
import random
from typing import Any

import numpy as np
import torch


def random_bytes() -> bytes:
    """Where the generators stand, to be kept."""
    buffer = io.BytesIO()
    torch.save(_state(), buffer)
    return buffer.getvalue()


def set_random_bytes(kept: bytes) -> None:
    """Put the generators where they stood."""
    state = torch.load(io.BytesIO(kept), map_location="cpu", weights_only=True)
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state(state["cuda"][0])


def _state() -> dict[str, Any]:
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, np.asarray(keys).tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],
    }
