"""Many mixed calls, honest and hostile, from many callers: is every answer right, and does anything pile up?

    python -m benchmarks.sandbox_soak --tier landlock --calls 100000 --callers 16 --hostile 0.25 --seed 0

Abuses are those of tests/rollout/sandbox/attacks, with the answers that the attack suite expects; the others are honest calls
whose answer is a number of their own. What is hostile and when follows the seed. Memory, processes, descriptors, disk, mounts
and shared memory are read when the sandbox has warmed up, and after each thousand calls. Ends with 1 if an answer was wrong,
a secret was printed, or the surroundings were harmed. An interrupt ends it with what was found so far; with `--record` a
second run goes on there.
"""

import argparse
import ctypes
import gc
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass, fields
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.sandbox import read_rollup, read_rollups
from rollout.sandbox import Outcome, Sandbox, Status, Tier
from tests.rollout.sandbox.attacks.abuse import Abuse
from tests.rollout.sandbox.attacks.campaign import ABUSES, HASTY, PATIENT
from tests.rollout.sandbox.attacks.storm import CALLS
from tests.rollout.sandbox.attacks.surroundings import SECRET, Surroundings, surroundings
from tests.rollout.sandbox.test_lifetime import descendants

NUM_WARM_UP, PART_CALLS = 200, 1000
SETTLE_S = 1.0
"""What was started in advance is there again before a reading."""

LIBC = ctypes.CDLL(None)
M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES = -3, 2**17
"""What glibc starts with. Left alone it rises to the largest block that was ever freed, here a source of 10 MB, and each thread
keeps up to twice as much for later."""

Job = Callable[[], tuple[Outcome, str | None]]
"""A call: its outcome, and what is wrong with it."""


@dataclass(frozen=True)
class Reading:
    """What could pile up."""

    host_mb: float
    """Resident memory of this process, after what is free has been given back."""
    sandbox_mb: float
    """Proportional memory of all processes of the sandboxes; needs root."""
    processes: int
    descriptors: int
    mounts: int
    shm_files: int
    disk_mb: float
    """Used, on the disk of the temporary directory."""

    @classmethod
    def now(cls) -> "Reading":
        """Take it."""
        gc.collect()
        LIBC.malloc_trim(0)
        return cls(
            read_rollup(os.getpid())["Rss"],
            sum(table["Pss"] for table in read_rollups(descendants(os.getpid()))),
            len(descendants(os.getpid())),
            len(os.listdir("/proc/self/fd")),
            len(Path("/proc/self/mountinfo").read_text().splitlines()),
            len(os.listdir("/dev/shm")),
            shutil.disk_usage("/tmp").used / 1e6,
        )

    def row(self) -> str:
        """For the table."""
        return "".join(f"{value:>13.1f}" if isinstance(value, float) else f"{value:>13}" for value in astuple(self))


@dataclass(frozen=True)
class Soak:
    """Two sandboxes, since what should run into its deadline need not wait for long."""

    tier: Tier
    patient: Sandbox
    hasty: Sandbox
    around: Surroundings

    def abuse(self, abuse: Abuse) -> tuple[Outcome, str | None]:
        """Run it; what is wrong with its outcome."""
        answer = abuse.answer_on(self.tier)
        sandbox = self.hasty if Status.TIMEOUT in answer.statuses else self.patient
        outcome = sandbox.run(self.around.prelude() + abuse.source)
        if SECRET in outcome.stdout + outcome.stderr:
            return outcome, f"{abuse.name} printed the secret"
        objection = answer.objection(outcome)
        return outcome, objection and f"{abuse.number} {abuse.name}: {objection}"

    def honest(self, number: int, source: str, status: Status) -> tuple[Outcome, str | None]:
        """A call whose answer is its own."""
        outcome = self.patient.run(source.format(n=number), seed=number)
        if (outcome.status, outcome.stdout) == (status, f"{number * 7}\n"):
            return outcome, None
        return outcome, f"call {number} should end with {status}: {outcome}"

    def jobs(self, num_calls: int, hostile: float, rng: random.Random) -> list[Job]:
        """The mix, drawn at random."""
        return [
            partial(self.abuse, rng.choice(ABUSES))
            if rng.random() < hostile
            else partial(self.honest, number, *rng.choice(CALLS))
            for number in range(num_calls)
        ]

    def run(self, jobs: list[Job], num_callers: int, statuses: Counter[Status]) -> int:
        """Make the calls, print what is wrong, and count the statuses. Returns how many answers were wrong."""
        num_wrong = 0
        with ThreadPoolExecutor(num_callers) as pool:
            for outcome, objection in pool.map(lambda job: job(), jobs):
                statuses[outcome.status] += 1
                if objection:
                    num_wrong += 1
                    print(f"wrong: {objection[:1000]}", flush=True)
        return num_wrong


@dataclass(frozen=True)
class Part:
    """What came of so many calls."""

    num_calls: int
    num_wrong: int
    seconds: float
    statuses: dict[str, int]


@dataclass(frozen=True)
class Record:
    """The parts that are done, in a file of JSON lines; without one nothing is kept."""

    path: Path | None

    def parts(self) -> list[Part]:
        """Those of earlier runs."""
        lines = self.path.read_text().splitlines() if self.path and self.path.is_file() else []
        return [Part(**json.loads(line)) for line in lines]

    def add(self, part: Part) -> None:
        """Write one down."""
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write(json.dumps(asdict(part)) + "\n")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tier", type=Tier, default=Tier.LANDLOCK)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--hostile", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, help="file; a second call goes on where one stopped")
    return parser.parse_args()


def sizes(num_calls: int) -> list[int]:
    """Of the parts: a short first one, after which the sandbox is warm."""
    num_parts, rest = divmod(num_calls - NUM_WARM_UP, PART_CALLS)
    return [NUM_WARM_UP, *[PART_CALLS] * num_parts, *[rest] * bool(rest)]


def run_part(given: argparse.Namespace, bath: Soak, number: int, size: int) -> Part:
    """Make the calls of one part, which its number decides."""
    rng, statuses, start = random.Random(f"{given.seed} {number}"), Counter[Status](), time.perf_counter()
    num_wrong = bath.run(bath.jobs(size, given.hostile, rng), given.callers, statuses)
    counted = {status.value: count for status, count in statuses.items()}
    return Part(size, num_wrong, time.perf_counter() - start, counted)


def soak(given: argparse.Namespace, bath: Soak) -> int:
    """Run all parts that are not yet done, a reading after each. Returns how many things were wrong."""
    record, planned = Record(given.record), sizes(given.calls)
    done = record.parts()
    print(f"{'calls':>8}{'calls/s':>9}{'min left':>9}" + "".join(f"{field.name:>13}" for field in fields(Reading)))
    try:
        for number, size in list(enumerate(planned))[len(done) :]:
            part = run_part(given, bath, number, size)
            done.append(part)
            record.add(part)
            time.sleep(SETTLE_S)
            print(progress(done, sum(planned)) + Reading.now().row(), flush=True)
    except KeyboardInterrupt:
        print("interrupted")
    statuses = sum((Counter(part.statuses) for part in done), Counter[str]())
    num_wrong, harm = sum(part.num_wrong for part in done), list(bath.around.harm())
    num_done = sum(part.num_calls for part in done)
    print(f"{num_wrong} wrong answers of {num_done}; harm: {harm or 'none'}; {dict(statuses.most_common())}")
    return num_wrong + len(harm)


def progress(done: list[Part], num_planned: int) -> str:
    """How far, how fast, and how long it will take."""
    num_done, last = sum(part.num_calls for part in done), done[-1]
    rate = last.num_calls / last.seconds
    return f"{num_done:>8}{rate:>9.1f}{(num_planned - num_done) / rate / 60:>9.1f}"


def main() -> int:
    """Exit code: 1 if anything was wrong."""
    given = arguments()
    LIBC.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
    num_workers = len(os.sched_getaffinity(0))
    with (
        TemporaryDirectory() as directory,
        surroundings(Path(directory)) as around,
        Sandbox(PATIENT, num_workers, tier=given.tier) as patient,
        Sandbox(HASTY, num_workers, tier=given.tier) as hasty,
    ):
        return int(soak(given, Soak(given.tier, patient, hasty, around)) > 0)


if __name__ == "__main__":
    sys.exit(main())
