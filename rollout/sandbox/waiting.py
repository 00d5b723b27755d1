"""Waiting for descriptors. `select` cannot take numbers above 1023, which a host with many files has."""

import math
import select
from collections.abc import Sequence


def wait_for(descriptors: Sequence[int], timeout_s: float | None = None) -> list[int]:
    """Those of the descriptors that can be read or have hung up, as soon as one has or the time is over."""
    return list(events(poll_of(descriptors), timeout_s))


def poll_of(descriptors: Sequence[int]) -> select.poll:
    """A poll object that watches them all."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return poll


def events(poll: select.poll, timeout_s: float | None) -> dict[int, int]:
    """What happened, by descriptor; nothing if the time is over."""
    return dict(poll.poll(None if timeout_s is None else math.ceil(timeout_s * 1000)))
