"""Runs every abuse on one tier as the user that it is started as, and looks around after each.

    python -m tests.rollout.sandbox.attacks.campaign landlock

Abuses run in the sandbox only. Prints a line a complaint, and as its last line how many abuses and procedures it ran.
"""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rollout.sandbox import Limits, Sandbox, Status, Tier
from rollout.sandbox.linux import prctl
from tests.rollout.sandbox.attacks import files, kernel, network, processes, resources, state
from tests.rollout.sandbox.attacks.abuse import Abuse
from tests.rollout.sandbox.attacks.procedures import PROCEDURES
from tests.rollout.sandbox.attacks.surroundings import SECRET, Surroundings, surroundings
from tests.rollout.sandbox.test_lifetime import descendants, eventually

ABUSES: tuple[Abuse, ...] = tuple(
    abuse for family in (resources, processes, files, kernel, network, state) for abuse in family.ABUSES
)
MEMORY_BYTES, OUTPUT_BYTES, SOURCE_BYTES = 128 << 20, 8192, 256 << 10
PATIENT = Limits(20.0, 20.0, MEMORY_BYTES, OUTPUT_BYTES, SOURCE_BYTES)
HASTY = Limits(0.25, 20.0, MEMORY_BYTES, OUTPUT_BYTES, SOURCE_BYTES)
"""For what should run into its deadline."""
_GRACE_S = 3.0
PR_SET_CHILD_SUBREAPER = 36

# the limit of the address space is left out: it lies above what a fork server occupies, which differs by pages
LOOK = """
import builtins, collections, json, math, os, random, resource, signal, sys, threading
def here():
    try: return sorted(os.listdir('.'))
    except OSError as error: return error.errno
def is_open(descriptor):
    try: return bool(os.fstat(descriptor))
    except OSError: return False
print(6 * 7)
print(sorted(globals()), sorted(vars(builtins)), sorted(sys.modules), sys.path, dict(os.environ), os.getcwd(), here(),
    math.pi, len, json.loads('1'), random.random(), collections.OrderedDict.__name__, sys.getrecursionlimit(),
    [signal.getsignal(number) for number in sorted(signal.valid_signals())], signal.pthread_sigmask(signal.SIG_BLOCK, []),
    sys.get_int_max_str_digits(), threading.active_count(), [fd for fd in range(1024) if is_open(fd)],
    [resource.getrlimit(number) for number in range(16) if number != resource.RLIMIT_AS], sys.gettrace(), sys.excepthook.__name__)
"""


@dataclass
class Watch:
    """A sandbox, and how it and its host were before anything happened."""

    sandbox: Sandbox
    limits: Limits
    surroundings: Surroundings

    def __post_init__(self) -> None:
        self.view = self.sandbox.run(LOOK).stdout
        eventually(lambda: False, 0.5)  # what starts in advance has started
        self.num_files, self.processes = len(_descriptors()), descendants(os.getpid())

    def complaints(self, abuse: Abuse, tier: Tier) -> Iterator[str]:
        """Run the abuse: what was not contained, then what has changed since."""
        start = time.monotonic()
        outcome = self.sandbox.run(self.surroundings.prelude() + abuse.source)
        seconds = time.monotonic() - start
        if objection := abuse.answer_on(tier).objection(outcome):
            yield objection
        if seconds > self.limits.wall_s + _GRACE_S:
            yield f"took {seconds:.1f} s"
        if SECRET in outcome.stdout + outcome.stderr:
            yield "the secret of the environment was printed"
        if outcome.truncated is not (outcome.status is Status.OUTPUT_LIMIT) or len(outcome.stdout) > 2 * OUTPUT_BYTES:
            yield f"{len(outcome.stdout)} characters of output, truncated: {outcome.truncated}"
        yield from self.changes()

    def changes(self) -> Iterator[str]:
        """What is not as before."""
        seen = self.sandbox.run(LOOK)
        if seen.stdout != self.view or not seen.stdout.startswith("42\n"):
            yield f"the next call sees {seen}, not {self.view}"
        yield from self.surroundings.harm()
        if not eventually(lambda: len(descendants(os.getpid())) <= len(self.processes)):
            yield f"processes are left: {descendants(os.getpid()) - self.processes}"
        if not eventually(lambda: len(_descriptors()) <= self.num_files):
            yield f"descriptors are left: {_descriptors()}, before {self.num_files}"


def _descriptors() -> list[str]:
    return os.listdir("/proc/self/fd")


def findings(tier: Tier, around: Surroundings) -> Iterator[str]:
    """All complaints about a tier; the last thing found is what closing leaves."""
    before = descendants(os.getpid())
    with Sandbox(PATIENT, num_workers=1, tier=tier) as patient, Sandbox(HASTY, num_workers=1, tier=tier) as hasty:
        watches = [Watch(patient, PATIENT, around), Watch(hasty, HASTY, around)]
        for abuse in ABUSES:
            watch = watches[Status.TIMEOUT in abuse.answer_on(tier).statuses]
            yield from (f"{abuse.number} {abuse.name}: {complaint}" for complaint in watch.complaints(abuse, tier))
        for procedure in PROCEDURES:
            if complaint := procedure.run(patient, tier):
                yield f"{procedure.number} {procedure.name}: {complaint}"
            yield from (f"{procedure.number} {procedure.name}: {change}" for change in watches[0].changes())
    if not eventually(lambda: descendants(os.getpid()) <= before):
        yield f"closing leaves {descendants(os.getpid()) - before}"


def main(tier: Tier) -> None:
    """Print the findings."""
    prctl(PR_SET_CHILD_SUBREAPER, 1).make()  # whoever loses its parent becomes ours, and so cannot hide
    with TemporaryDirectory() as directory, surroundings(Path(directory)) as around:
        for finding in findings(tier, around):
            print(finding[:2000])
    print(f"{len(ABUSES)} abuses and {len(PROCEDURES)} procedures on {tier} as user {os.getuid()}")


if __name__ == "__main__":
    main(Tier(sys.argv[1]))
