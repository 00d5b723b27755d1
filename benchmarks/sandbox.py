"""The sandbox beside a fresh interpreter a call, in bubblewrap and plain, for one caller and for many.

    python -m benchmarks.sandbox --callers 1 8 32 128 --calls 400 --fresh-callers 1 8 --fresh-calls 20 --repeats 5

Benign code only: a print, numpy (import and a determinant), numpy and sympy (imports and a sum), sympy (import and an
equation). All ways alternate within each repeat, so that a busy machine slows all of them; every answer is checked. Prints a
row for each code, way and number of callers: median and 95th percentile of a call's wall time (waiting for a worker
included), calls a second (median over the repeats, and their range), how many times the best rate of a fresh interpreter in
bubblewrap that is, and `stolen`: the share of the processors' time that a shared machine gave to others meanwhile. With
`--max-stolen 0.05` a measurement during which more was taken is made again, some times at most, and the best is kept. Then
the cells of a session, and what a start costs in seconds and memory, with numpy and sympy loaded. Memory needs root.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from rollout.sandbox import Limits, Sandbox, Status, Tier
from rollout.sandbox.sandbox import SCIENCE_PRELOAD
from tests.rollout.sandbox.test_lifetime import descendants

LIMITS = Limits(wall_s=30, cpu_s=30)
NUM_CELLS = 500
MAX_TRIES = 6
STOLEN = 7
"""Its place in the first line of /proc/stat, after user, nice, system, idle, iowait, irq and softirq."""
CODES = {
    "print": "print(6 * 7)",
    "numpy": "import numpy\nrows = numpy.arange(10_000).reshape(100, 100) % 97 + 50 * numpy.eye(100)\n"
    "print(f'{numpy.linalg.det(rows):.6e}')",
    "both": "import numpy, sympy\nprint(numpy.arange(9).sum(), sympy.Rational(3, 4) + sympy.Rational(1, 4))",
    "sympy": "from sympy import solve, symbols\nx = symbols('x')\nprint(solve(x**2 - 5*x + 6, x))",
}
BUBBLEWRAP = [
    "bwrap",
    "--unshare-all",
    "--die-with-parent",
    "--ro-bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--",
]
PYTHON = [sys.executable, "-I", "-c"]
REFERENCE = "bwrap python"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Way:
    """One way to run code: its name, and a function from code to what the code prints."""

    name: str
    run: Callable[[str], str]
    callers: list[int]
    num_calls: int
    """At least; every caller makes one."""


def fresh(prefix: list[str]) -> Callable[[str], str]:
    """A new interpreter for each call."""
    return lambda code: subprocess.run([*prefix, *PYTHON, code], check=True, capture_output=True, text=True).stdout


def in_sandbox(sandbox: Sandbox) -> Callable[[str], str]:
    """A call of the sandbox."""

    def run(code: str) -> str:
        outcome = sandbox.run(code)
        assert outcome.status is Status.OK, outcome
        return outcome.stdout

    return run


def start_workers(sandbox: Sandbox) -> None:
    """Further workers start when calls overlap; what a start takes is measured apart."""
    num_calls = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(num_calls) as pool:
        for outcome in pool.map(sandbox.run, ["import time\ntime.sleep(1)"] * num_calls):
            assert outcome.status is Status.OK, outcome


def timed(run: Callable[[str], str], code: str, answer: str) -> float:
    """Seconds of a call, whose answer must be right."""
    start = time.perf_counter()
    printed = run(code)
    seconds = time.perf_counter() - start
    assert printed == answer, printed
    return seconds


def measure(way: Way, code: str, answer: str, num_callers: int) -> tuple[list[float], float]:
    """Seconds of each call, and calls a second."""
    num_calls = max(way.num_calls, num_callers)
    with ThreadPoolExecutor(num_callers) as pool:
        start = time.perf_counter()
        seconds = list(pool.map(lambda _: timed(way.run, code, answer), range(num_calls)))
        return seconds, num_calls / (time.perf_counter() - start)


def stolen(task: Callable[[], Result], most: float) -> tuple[Result, float]:
    """The result of the task, and the share of processor time that others took meanwhile; at most `most`, if need be after
    some tries, else the least that there was."""
    tries = []
    while not tries or (tries[-1][1] > most and len(tries) < MAX_TRIES):
        before = processor_times()
        result = task()
        taken = [after - earlier for after, earlier in zip(processor_times(), before, strict=True)]
        tries.append((result, taken[STOLEN] / sum(taken)))
    return min(tries, key=lambda found: found[1])


def processor_times() -> list[int]:
    """What the processors did since the machine's start, by kind."""
    return [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]


def compare(ways: list[Way], repeats: int, max_stolen: float) -> None:
    """Measure all, alternating, and print the table."""
    seconds, rates, shares = defaultdict(list), defaultdict(list), defaultdict(list)
    answers = {name: fresh([])(code) for name, code in CODES.items()}
    for _ in range(repeats):
        for name, code in CODES.items():
            for way in ways:
                for num_callers in way.callers:
                    key = name, way.name, num_callers
                    task = partial(measure, way, code, answers[name], num_callers)
                    (found, rate), share = stolen(task, max_stolen)
                    shares[key].append(share)
                    print(*key, f"{rate:.1f}/s, stolen {share:.1%}", file=sys.stderr, flush=True)
                    seconds[key] += found
                    rates[key].append(rate)
    print(
        f"{'code':<7}{'way':<24}{'callers':>7}{'p50 ms':>10}{'p95 ms':>10}{'calls/s':>10}{'(range)':>14}{'times':>8}{'stolen':>8}"
    )
    for name, way_name, num_callers in seconds:
        key = name, way_name, num_callers
        cuts = statistics.quantiles(seconds[key], n=20)
        rate = statistics.median(rates[key])
        best = max(statistics.median(rates[other]) for other in rates if other[:2] == (name, REFERENCE))
        spread = f"({min(rates[key]):.0f}-{max(rates[key]):.0f})"
        print(
            f"{name:<7}{way_name:<24}{num_callers:>7}{cuts[9] * 1e3:>10.2f}{cuts[18] * 1e3:>10.2f}{rate:>10.1f}"
            f"{spread:>14}{rate / best:>8.1f}{statistics.median(shares[key]):>8.1%}"
        )


def session_cells(sandbox: Sandbox, max_stolen: float) -> None:
    """Print what a cell of a session takes."""

    def cells() -> list[float]:
        with sandbox.session() as session:
            return [timed(lambda code: session.run(code).stdout, f"print({n})", f"{n}\n") for n in range(NUM_CELLS)]

    seconds, share = stolen(cells, max_stolen)
    cuts = statistics.quantiles(seconds, n=20)
    print(f"{sandbox.tier}: session cell p50 {cuts[9] * 1e3:.2f} ms, p95 {cuts[18] * 1e3:.2f} ms; stolen {share:.1%}")


def start_cost(tier: Tier, repeats: int, max_stolen: float) -> None:
    """Print what it takes until a sandbox with one worker serves, its self-test included, and what its processes hold."""

    def start() -> tuple[float, tuple[float, float]]:
        begin = time.perf_counter()
        with Sandbox(LIMITS, 1, SCIENCE_PRELOAD, tier=tier) as sandbox:
            seconds = time.perf_counter() - begin
            sandbox.run("6 * 7")
            return seconds, memory_mb()

    found = [stolen(start, max_stolen) for _ in range(repeats)]
    starts, memory = zip(*(result for result, _ in found), strict=True)
    resident, proportional = (statistics.median(column) for column in zip(*memory, strict=True))
    print(
        f"{tier}: start {statistics.median(starts):.2f} s ({min(starts):.2f}-{max(starts):.2f}); "
        f"a worker's processes hold {proportional:.0f} MB (PSS), the largest {resident:.0f} MB (RSS); "
        f"stolen {statistics.median(share for _, share in found):.1%}"
    )


def memory_mb() -> tuple[float, float]:
    """Resident memory of the largest process below us, and the proportional memory of all of them, in MB."""
    tables = read_rollups(descendants(os.getpid()))
    return max(table["Rss"] for table in tables), sum(table["Pss"] for table in tables)


def read_rollups(pids: Iterable[int]) -> list[dict[str, float]]:
    """Of those that still have memory: a call has ended before it has given up its own."""
    tables = []
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            tables.append(read_rollup(pid))
    return tables


def read_rollup(pid: int) -> dict[str, float]:
    """/proc/<pid>/smaps_rollup in MB; needs root, since the processes of a sandbox hide from others."""
    rows = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]]
    return {row[0].rstrip(":"): int(row[1]) / 1000 for row in rows}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiers", nargs="+", type=Tier, default=list(Tier))
    parser.add_argument("--callers", nargs="+", type=int, default=[1, 8, 32, 128])
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--fresh-callers", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--fresh-calls", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--max-stolen", type=float, default=1.0, metavar="SHARE", help="of processor time, by others")
    return parser.parse_args()


def main() -> None:
    """Print the tables."""
    given = arguments()
    with ExitStack() as stack:
        sandboxes = {
            tier: stack.enter_context(Sandbox(LIMITS, preload=SCIENCE_PRELOAD, tier=tier)) for tier in given.tiers
        }
        for sandbox in sandboxes.values():
            start_workers(sandbox)
        ways = [
            Way(f"sandbox {tier}", in_sandbox(made), given.callers, given.calls) for tier, made in sandboxes.items()
        ]
        ways += [
            Way(REFERENCE, fresh(BUBBLEWRAP), given.fresh_callers, given.fresh_calls),
            Way("plain python", fresh([]), given.fresh_callers, given.fresh_calls),
        ]
        compare(ways, given.repeats, given.max_stolen)
        for sandbox in sandboxes.values():
            session_cells(sandbox, given.max_stolen)
    for tier in given.tiers:
        start_cost(tier, given.repeats, given.max_stolen)


if __name__ == "__main__":
    main()
