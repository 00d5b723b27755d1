"""Difficulty buckets, and the largest subset of tasks that has a wanted histogram over them.

Buckets of pass rates as in arXiv 2510.11701: hard up to .25, easy from .75, medium between.
"""

from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum

from data_contracts.ids import content_hash

HARD_UP_TO, EASY_FROM = 0.25, 0.75


class Bucket(StrEnum):
    """How hard a task is for one student."""

    HARD = "hard"
    MEDIUM = "medium"
    EASY = "easy"


def bucket_of(pass_rate: float) -> Bucket:
    """The bucket of a pass rate. Raises ValueError outside 0 .. 1."""
    if not 0.0 <= pass_rate <= 1.0:
        raise ValueError(f"pass rate {pass_rate} is outside 0 .. 1")
    if pass_rate <= HARD_UP_TO:
        return Bucket.HARD
    return Bucket.EASY if pass_rate >= EASY_FROM else Bucket.MEDIUM


def check_target(target: Mapping[Bucket, float]) -> None:
    """Raises ValueError for shares below 0 or a sum that is not 1 (within 1e-3)."""
    if any(share < 0 for share in target.values()) or abs(sum(target.values()) - 1.0) > 1e-3:
        shown = ", ".join(f"{bucket.value} {share}" for bucket, share in target.items())
        raise ValueError(f"target histogram ({shown}) is none: give shares from 0 to 1 that sum to 1")


def histogram(pass_rates: Mapping[str, float]) -> dict[Bucket, int]:
    """Number of tasks per bucket."""
    counts = dict.fromkeys(Bucket, 0)
    for rate in pass_rates.values():
        counts[bucket_of(rate)] += 1
    return counts


def to_histogram(
    pass_rates: Mapping[str, float], target: Mapping[Bucket, float], max_tasks: int | None = None
) -> set[str]:
    """The keys of the largest set of tasks, at most `max_tasks`, whose shares per bucket are the target's, but for rounding.

    Inside a bucket the choice is random but the same for ever: by a hash of the key. A bucket of share 0 gives nothing; a
    wanted bucket without tasks leaves nothing. Raises ValueError as `check_target`.
    """
    check_target(target)
    members: defaultdict[Bucket, list[str]] = defaultdict(list)
    for key, rate in pass_rates.items():
        members[bucket_of(rate)].append(key)
    wanted = {bucket: share for bucket, share in target.items() if share > 0}
    total = min((len(members[bucket]) / share for bucket, share in wanted.items()), default=0.0)
    total = total if max_tasks is None else min(total, max_tasks)
    chosen: set[str] = set()
    for bucket, share in wanted.items():
        ordered = sorted(members[bucket], key=lambda key: content_hash(["histogram", key]))
        chosen.update(ordered[: round(total * share)])
    return chosen
