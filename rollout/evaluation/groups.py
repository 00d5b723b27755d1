"""The attempts of one task as numbers: counts and votes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from data_contracts.attempts import Outcome
from data_contracts.manifests import Metric
from data_contracts.scores import ScoredAttempt
from rollout.statistics import maj_at_k, pass_at_k, pass_hat_k
from rollout.verdicts import LABELLED

STRICT, LENIENT = "correct_strict", "correct_lenient"


@dataclass(frozen=True)
class TaskGroup:
    """The labelled attempts of one policy at one task."""

    task_key: str
    attempts_G: tuple[ScoredAttempt, ...]

    @property
    def item(self) -> str:
        """Where the task comes from, whatever prompt, tools and limits it is asked with."""
        return self.attempts_G[0].item

    @property
    def num_correct(self) -> int:
        """Attempts that are right, strictly."""
        return sum(a.outcome is Outcome.CORRECT for a in self.attempts_G)

    def mean(self, part: str) -> float | None:
        """Mean of a reward part; None where it was measured for no attempt."""
        values = [value for a in self.attempts_G if (value := a.reward(part)) is not None]
        return sum(values) / len(values) if values else None

    def value(self, metric: Metric, k: int) -> float | None:
        """pass@k, pass^k or maj@k; None where the task has fewer than k attempts, and for the majority of programs."""
        n = len(self.attempts_G)
        if n < k:
            return None
        if metric is Metric.PASS:
            return pass_at_k(n, self.num_correct, k)
        if metric is Metric.PASS_HAT:
            return pass_hat_k(n, self.num_correct, k)
        if any(a.is_program for a in self.attempts_G):
            return None
        right_G = [a.outcome is Outcome.CORRECT for a in self.attempts_G]
        return maj_at_k([a.vote for a in self.attempts_G], right_G, k)


def task_groups(attempts: Iterable[ScoredAttempt]) -> list[TaskGroup]:
    """The labelled attempts by task, in the order of the tasks' keys."""
    by_task: defaultdict[str, list[ScoredAttempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.outcome in LABELLED:
            by_task[attempt.task_key].append(attempt)
    return [TaskGroup(key, tuple(sorted(group, key=lambda a: a.key))) for key, group in sorted(by_task.items())]


def sizes(groups: Sequence[TaskGroup]) -> list[int]:
    """The k that figures are given for: 2, 4, 8, ... and the attempts of the largest group."""
    most = max((len(group.attempts_G) for group in groups), default=0)
    powers = [2**i for i in range(1, most.bit_length()) if 2**i < most]
    return [*powers, most] if most > 1 else []
