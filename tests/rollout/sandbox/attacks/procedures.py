"""Classes 36 and 41 to 44: what takes more than one call, or a look at the machinery from outside."""

import os
import random
import secrets
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rollout.sandbox import Sandbox, Status, Tier
from tests.rollout.sandbox.test_lifetime import descendants, eventually

_MAX_REGION_BYTES = 1 << 30


@dataclass(frozen=True)
class Procedure:
    """Something done to a sandbox with one worker; returns what was wrong, if anything was."""

    number: int
    name: str
    run: Callable[[Sandbox, Tier], str | None]


def remnants(sandbox: Sandbox, tier: Tier) -> str | None:
    """What a call knew is in no memory that a later call is made from. An ordinary user cannot look, which also is an answer."""
    halves = secrets.token_hex(8), secrets.token_hex(8)  # never joined in our own memory before the search
    for _ in range(5):
        sandbox.run(f"x = {halves[0]!r} + {halves[1]!r}\nprint(x)\nraise ValueError(x)")
    marker = "".join(halves).encode()
    for pid in descendants(os.getpid()):
        if marker in _memory(pid):
            return f"process {pid} holds what a call has printed"
    return None


def _memory(pid: int) -> bytes:
    """All that a process can read of itself; nothing if we may not look or it has gone."""
    found = []
    with suppress(OSError), Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            start, end = (int(bound, 16) for bound in span.split("-"))
            if rights.startswith("rw") and end - start < _MAX_REGION_BYTES:
                memory.seek(start)
                with suppress(OSError):
                    found.append(memory.read(end - start))
    return b"".join(found)


def streams(sandbox: Sandbox, tier: Tier) -> str | None:
    """Random streams follow the seed, whatever an earlier call did to them."""
    draw = "import random\n(random.random(), random.getrandbits(64), hash('text'))"
    drawn = []
    for seed in (1, 2, 1):
        sandbox.run("import random\nrandom.seed(5); random.random = lambda: 4", seed=seed)
        drawn.append(sandbox.run(draw, seed=seed).stdout)
    return None if drawn[0] == drawn[2] != drawn[1] else f"seeds 1, 2, 1 drew {drawn}"


def killed_zygote(sandbox: Sandbox, tier: Tier) -> str | None:
    """A call whose machinery is killed is run again, and nothing of the killed one survives."""
    before = descendants(os.getpid())
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(sandbox.run, "import time\ntime.sleep(0.4)\nprint('answered')")
        time.sleep(0.2)
        for pid in descendants(os.getpid()):
            with suppress(FileNotFoundError, ProcessLookupError):  # one that was killed takes others along
                if b"rollout.sandbox.zygote" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        outcome = call.result(timeout=60)
    if not eventually(lambda: len(descendants(os.getpid())) <= len(before)):
        return f"it left {descendants(os.getpid()) - before}"
    return None if outcome.stdout == "answered\n" else f"it answered {outcome}"


def sessions(sandbox: Sandbox, tier: Tier) -> str | None:
    """What a session's code does to it ends that session, which says so, and touches no other."""
    for name, code in BREAKERS.items():
        with sandbox.session(1) as broken, sandbox.session(2) as other:
            broken.run("kept = 1")
            other.run("kept = 2")
            outcome = broken.run(code)
            told = outcome.state_lost or broken.run("print('unbroken')").status is Status.SESSION_LOST
            afresh = broken.run("print('kept' in globals())")
            untouched = other.run("print(kept)")
        if not told or "forged" in outcome.stdout:
            return f"{name}: the session says nothing of it: {outcome}"
        if (afresh.status, afresh.stdout, untouched.stdout) != (Status.OK, "False\n", "2\n"):
            return f"{name}: then {afresh}, and another session {untouched}"
    return None


FORGE = """
import os
for descriptor in range(3, 64):
    for frame in FRAMES:
        try: os.write(descriptor, frame)
        except OSError: pass
print('after')
"""
BREAKERS = {
    "a forged end": FORGE.replace("FRAMES", "(bytes(16), bytes(24), bytes(32), bytes(20), b'x', b'done')"),
    "its own end": "import os\nos._exit(0)",
    "a crash": "import ctypes\nctypes.string_at(0)",
    "a closed control": "import os\nos.closerange(3, 64)",
}


def between_cells(sandbox: Sandbox, tier: Tier) -> str | None:
    """Variables, streams and late threads: of the session alone, and gone with it."""
    late = (
        "import threading, time\ndef speak():\n    time.sleep(0.05)\n    print('late')\n"
        "try: threading.Thread(target=speak, daemon=True).start()\nexcept RuntimeError: pass\nsecret = 'of the first'"
    )
    with sandbox.session(1) as first, sandbox.session(1) as second:
        first.run(late)
        time.sleep(0.1)
        seen = [second.run("print('secret' in globals())").stdout, first.run("print(secret)").stdout]
        drawn = [session.run("import random\nprint(random.random())").stdout for session in (first, second)]
    with sandbox.session(1) as third:
        seen.append(third.run("print('secret' in globals())").stdout)
    if "late" in seen[0] or seen[0] != seen[2] or seen[0] != "False\n" or "of the first" not in seen[1]:
        return f"the sessions saw {seen}"
    return None if len(drawn[0]) > 3 else f"drew {drawn}"


MIX = (
    ("print({n} * 7)", Status.OK, "{product}\n"),
    ("print({n} * 7)\n1 / 0", Status.ERROR, "{product}\n"),
    ("import os\nprint({n} * 7, flush=True)\nos.abort()", Status.SIGNAL, "{product}\n"),
    ("print({n} * 7)\nx = bytearray(8 << 30)", Status.MEMORY, "{product}\n"),
    ("print({n} * 7)\nimport os\nos._exit(0)", Status.OK, "{product}\n"),
)


def cross_talk(sandbox: Sandbox, tier: Tier) -> str | None:
    """Many callers, honest and hostile: each gets its own answer."""
    rng = random.Random(44)
    jobs = [(number, *rng.choice(MIX)) for number in range(160)]
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda job: sandbox.run(job[1].format(n=job[0])), jobs))
    for (number, _, status, stdout), outcome in zip(jobs, outcomes, strict=True):
        if (outcome.status, outcome.stdout) != (status, stdout.format(product=number * 7)):
            return f"call {number} got {outcome}"
    return None


PROCEDURES = (
    Procedure(36, "what a call knew", remnants),
    Procedure(41, "random streams", streams),
    Procedure(42, "sessions that are broken", sessions),
    Procedure(42, "between the cells", between_cells),
    Procedure(43, "a killed fork server", killed_zygote),
    Procedure(44, "many callers", cross_talk),
)
