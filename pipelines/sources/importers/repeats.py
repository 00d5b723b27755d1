"""What a further attempt at the same task by the same policy is."""

from collections import Counter, defaultdict

from data_contracts.attempts import RepeatKind
from pipelines.sources.importers.recording import Recording


class Repeats:
    """Numbers attempts in the order in which they are read. The first of a group is independent of nothing before it."""

    def __init__(self) -> None:
        """Nothing read yet."""
        self._seen: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._numbers: Counter[tuple[str, str, str]] = Counter()

    def place(self, recording: Recording) -> tuple[int, RepeatKind]:
        """The recording's index inside its task, policy and run, and what kind of repeat it is.

        A record without a turn (a crashed run) is a copy of nothing.
        """
        group = (recording.task.key, recording.policy.id)
        index = self._numbers[*group, recording.run]
        self._numbers[*group, recording.run] += 1
        if not recording.transcript.turns:
            return index, RepeatKind.INDEPENDENT
        seen = self._seen[group]
        kind = recording.further if seen else RepeatKind.INDEPENDENT
        if recording.fingerprint in seen:
            kind = RepeatKind.COPY
        seen.add(recording.fingerprint)
        return index, kind
