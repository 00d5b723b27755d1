"""Kills a host in the middle of a storm, several times, and looks for survivors.

    python -m tests.rollout.sandbox.attacks.host_kill landlock 1 3

Tier, seed and number of hosts. Prints as JSON how many processes each host had when it was killed, and how many outlived it.
"""

import json
import os
import random
import subprocess
import sys
import time

from rollout.sandbox import Tier
from rollout.sandbox.linux import prctl
from tests.rollout.sandbox.attacks.campaign import PR_SET_CHILD_SUBREAPER
from tests.rollout.sandbox.test_lifetime import descendants, eventually

MIN_PAUSE_S, MAX_PAUSE_S = 0.2, 1.5


def kill_host(tier: Tier, rng: random.Random) -> tuple[int, int]:
    """Start a host, kill it at a random moment: its processes before, and after."""
    command = [sys.executable, "-m", "tests.rollout.sandbox.attacks.storm", tier, str(rng.getrandbits(32)), "60"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as host:
        most = _grown(host.pid)
        time.sleep(rng.uniform(MIN_PAUSE_S, MAX_PAUSE_S))
        host.kill()
    eventually(lambda: not descendants(os.getpid()))
    return most, len(descendants(os.getpid()))


def _grown(pid: int) -> int:
    """How many processes a host had once, with calls under way: more than its two fork servers."""
    seen: list[int] = []
    eventually(lambda: seen.append(len(descendants(pid))) or max(seen) > 2, 60)
    return max(seen)


def main(tier: Tier, seed: int, num_hosts: int) -> None:
    """Print the counts."""
    prctl(PR_SET_CHILD_SUBREAPER, 1).make()  # survivors become ours, whatever group or session they are in
    rng = random.Random(seed)
    print(json.dumps([kill_host(tier, rng) for _ in range(num_hosts)]))


if __name__ == "__main__":
    main(Tier(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
