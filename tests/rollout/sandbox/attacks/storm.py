"""Kills processes of a sandbox at random while many callers use it.

    python -m tests.rollout.sandbox.attacks.storm landlock 1 6

Tier, seed and seconds. Prints as JSON how many calls were made, how many processes were killed, and each wrong answer. A
call's answer is known in advance and is its own; a caller repeats a call that ended in an infrastructure failure, which is
what a rollout does.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from rollout.errors import InfrastructureError
from rollout.sandbox import Limits, Outcome, Sandbox, Status, Tier
from rollout.sandbox.linux import prctl
from tests.rollout.sandbox.attacks.campaign import PR_SET_CHILD_SUBREAPER
from tests.rollout.sandbox.test_lifetime import descendants, eventually

NUM_CALLERS, NUM_WORKERS = 8, 3
SHARE_OF_SESSIONS, NUM_CELLS = 0.1, 5
PAUSE_S = 0.2
"""Mean pause between kills: a call can survive some of them, and few survive all."""

CALLS = (
    ("print({n} * 7)", Status.OK),
    ("import time\nprint({n} * 7, flush=True)\ntime.sleep(0.05)", Status.OK),
    ("print({n} * 7)\n1 / 0", Status.ERROR),
    ("print({n} * 7)\nx = bytearray(8 << 30)", Status.MEMORY),
    ("import os\nprint({n} * 7, flush=True)\nos.abort()", Status.SIGNAL),
)


@dataclass
class Storm:
    """Callers and a killer, until the time is over."""

    sandbox: Sandbox
    rng: random.Random
    wrong: list[str] = field(default_factory=list)
    num_calls: int = 0
    num_outages: int = 0
    num_kills: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def rage(self, seconds: float) -> None:
        """Returns when every call that was begun has its answer."""
        seeds = [self.rng.getrandbits(32) for _ in range(NUM_CALLERS)]
        killer = threading.Thread(target=self._kill)
        with ThreadPoolExecutor(NUM_CALLERS) as pool:
            counts = [pool.submit(self._use, caller, random.Random(seed)) for caller, seed in enumerate(seeds)]
            killer.start()
            time.sleep(seconds)
            self._over.set()
            killer.join()
            self.num_calls = sum(count.result(timeout=60) for count in counts)

    def _kill(self) -> None:
        while not self._over.wait(self.rng.expovariate(1 / PAUSE_S)):
            if targets := sorted(descendants(os.getpid())):
                with suppress(ProcessLookupError):
                    os.kill(self.rng.choice(targets), signal.SIGKILL)
                    self.num_kills += 1

    def _use(self, caller: int, rng: random.Random) -> int:
        number = 0
        while not self._over.is_set():
            number += 1
            if rng.random() < SHARE_OF_SESSIONS:
                self._hold_session(caller * 10**6 + number)
            else:
                self._call(self.sandbox.run, caller * 10**6 + number, *rng.choice(CALLS))
        return number

    def _hold_session(self, number: int) -> None:
        """A session that counts: the number of cells that were run is in every answer."""
        with self.sandbox.session(number) as session:
            self._call(session.run, number, "total = {n}\nprint(total * 7)", Status.OK)
            for more in range(1, NUM_CELLS):
                self._call(session.run, number + more, "total += 1\nprint(total * 7)", Status.OK)

    def _call(self, run: Callable[[str], Outcome], number: int, source: str, status: Status) -> None:
        while True:
            try:
                outcome = run(source.format(n=number))
                break
            except InfrastructureError:
                self.num_outages += 1
        if (outcome.status, outcome.stdout) != (status, f"{number * 7}\n"):
            self.wrong.append(f"{number} should end with {status}: {outcome}")


def main(tier: Tier, seed: int, seconds: float) -> None:
    """Print the report."""
    prctl(PR_SET_CHILD_SUBREAPER, 1).make()
    with Sandbox(Limits(wall_s=20, cpu_s=20), NUM_WORKERS, tier=tier) as sandbox:
        storm = Storm(sandbox, random.Random(seed))
        storm.rage(seconds)
        calm = [sandbox.run("6 * 7").stdout for _ in range(NUM_WORKERS)]
    gone = eventually(lambda: not descendants(os.getpid()))
    report = {
        "calls": storm.num_calls,
        "kills": storm.num_kills,
        "outages": storm.num_outages,
        "wrong": storm.wrong[:20],
    }
    print(json.dumps({**report, "num_wrong": len(storm.wrong), "calm": calm, "nothing_left": gone}))


if __name__ == "__main__":
    main(Tier(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
