"""How the difficulty of tasks differs between two revisions of a student: what a static estimate has become."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from data_contracts.difficulty import Difficulty
from rollout.adaptive import Solved, verdict
from rollout.statistics import BetaPosterior, Interval, bootstrap_interval, probability_greater

CLEAR = 0.95
"""P(pass rate rose) or P(it fell) from which a task counts as changed."""
BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class Drift:
    """Two revisions on the tasks that both were measured on."""

    num_tasks: int
    change: Interval
    """Mean of posterior mean after - before, paired bootstrap over tasks."""
    easier: int
    """Tasks with P(pass rate rose) >= CLEAR."""
    harder: int
    transitions: Mapping[tuple[Solved, Solved], int]
    """Tasks by (verdict before, verdict after); verdicts of more attempts are more often `sometimes`."""

    @property
    def still_mixed(self) -> float | None:
        """Of the tasks solved sometimes before, the share that still is; None where there was none."""
        before = {after: n for (first, after), n in self.transitions.items() if first is Solved.SOMETIMES}
        return before.get(Solved.SOMETIMES, 0) / sum(before.values()) if before else None


def drift(before: Iterable[Difficulty], after: Iterable[Difficulty]) -> Drift | None:
    """Compare two tables of difficulty; None where they share no measured task. The order of rows does not count.

    Raises ValueError where a table has a task twice.
    """
    first, second = _by_task(before), _by_task(after)
    pairs = [(first[key], second[key]) for key in sorted(first.keys() & second.keys())]
    if not pairs:
        return None
    posteriors = [(_posterior(a), _posterior(b)) for a, b in pairs]
    rose = [probability_greater(b, a) for a, b in posteriors]
    return Drift(
        num_tasks=len(pairs),
        change=bootstrap_interval([b.mean - a.mean for a, b in posteriors], seed=BOOTSTRAP_SEED),
        easier=sum(p >= CLEAR for p in rose),
        harder=sum(p <= 1.0 - CLEAR for p in rose),
        transitions=dict(sorted(Counter((_verdict(a), _verdict(b)) for a, b in pairs).items())),
    )


def transition_table(found: Drift) -> list[tuple[str, ...]]:
    """Rows `before`, never, sometimes, always: numbers of tasks."""
    return [(before.value, *(str(found.transitions.get((before, after), 0)) for after in Solved)) for before in Solved]


def _by_task(rows: Iterable[Difficulty]) -> dict[str, Difficulty]:
    listed: Sequence[Difficulty] = list(rows)
    measured = {row.task_key: row for row in listed if row.num_attempts}
    if len({row.task_key for row in listed}) < len(listed):
        raise ValueError(f"{len(listed)} rows for {len(measured)} tasks: hand in the difficulties of one student")
    return measured


def _posterior(row: Difficulty) -> BetaPosterior:
    return BetaPosterior.from_counts(row.num_attempts, row.num_correct)


def _verdict(row: Difficulty) -> Solved:
    return verdict(row.num_attempts, row.num_correct)
