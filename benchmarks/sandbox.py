"""Latency and rate of the sandbox beside a fresh interpreter a call: `python benchmarks/sandbox.py`."""

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import quantiles

from rollout.sandbox import Sandbox, Status

_NUM_THREADS = 8
_CODE = "print(1)"


def _fresh_interpreter() -> None:
    subprocess.run([sys.executable, "-I", "-c", _CODE], check=True, stdout=subprocess.DEVNULL)


def _in_sandbox(sandbox: Sandbox) -> None:
    outcome = sandbox.run(_CODE)
    assert outcome.status is Status.OK, outcome


def _latency_s(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _measure(name: str, call: Callable[[], None], num_calls: int) -> None:
    cuts = quantiles([_latency_s(call) for _ in range(num_calls)], n=20)
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        start = time.perf_counter()
        list(pool.map(lambda _: call(), range(num_calls)))
        rate = num_calls / (time.perf_counter() - start)
    print(
        f"{name:<20} p50 {cuts[9] * 1e3:6.2f} ms   p95 {cuts[18] * 1e3:6.2f} ms   {_NUM_THREADS} threads {rate:6.0f}/s"
    )


def main() -> None:
    """Print one line a way of running code."""
    with Sandbox() as sandbox:
        _measure("sandbox", partial(_in_sandbox, sandbox), 1000)
    _measure("python -I -c", _fresh_interpreter, 100)


if __name__ == "__main__":
    main()
