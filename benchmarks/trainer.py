"""This trainer beside TRL on the same rows and weights: the loss head alone, an SFT step, an RL step.

    python -m benchmarks.trainer --part head --tokens 4096 --vocab 151936 --hidden 1024
    python -m benchmarks.trainer --part sft rl --repeats 5
    python -m benchmarks.trainer --device cuda --shape qwen3-0.6b --part head sft rl

Each measurement is a process of its own: a first step, from which loss and gradient norm are taken (the sides must
agree: parity comes first), then one that is measured. The sides alternate. On a CPU seconds are those of the process,
with --threads threads; on CUDA they are the clock's. Memory is the peak above what was there before the measured
step, which is weights and optimizer, less the gradients (which count in the head's). The rows are groups of attempts
with log-normal lengths; a third of a completion is tool results, which are not trained. TRL gets what suits it: SFT
rows sorted by length, padded or padding-free; no gradient checkpointing on either side. Its GRPO has no packing; its
rows stand in drawn order, as GRPOTrainer shuffles them.

Prints medians with their ranges, ratios, and for steps tokens a second (real tokens, padding not counted); on CUDA also MFU:
(6 N T + 6 L D sum of squared lengths) / (seconds x peak), with N parameters, T tokens, L layers, D = heads x head size: the
second term is causal attention, 2 D operations a pair of tokens forward and 4 backward.
"""

import argparse
import ctypes
import gc
import json
import math
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import asdict, fields
from pathlib import Path

import torch

from benchmarks.trainer_sides import SIDES, STEPS, Case, made_rows

SHAPES = {
    "small": {"hidden": 256, "layers": 4, "heads": 4, "kv_heads": 2, "head_dim": 64, "intermediate": 768},
    "qwen3-0.6b": {"hidden": 1024, "layers": 28, "heads": 16, "kv_heads": 8, "head_dim": 128, "intermediate": 3072},
}
MIB = 2**20
TOLERANCE = {"cpu": 1e-4, "cuda": 2e-2}
"""Relative, of loss and gradient norm between sides; bfloat16 on CUDA."""


def measured(case: Case) -> dict[str, float]:
    """Seconds and bytes of one step, and what the first gave."""
    torch.set_num_threads(case.threads)
    step, held = STEPS[case.part](case)
    loss, norm = step()
    for tensor in held:
        tensor.grad = None
    base = settled(case.device)
    started = clock(case.device)
    step()
    seconds = clock(case.device) - started
    gradients = 0 if case.part == "head" else sum(tensor.nbytes for tensor in held)
    extra = peak(case.device) - base - gradients
    return {"loss": loss, "norm": norm, "seconds": seconds, "extra_bytes": extra}


def clock(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def settled(device: str) -> int:
    """Bytes held between steps, after which the peak is counted anew."""
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    ctypes.CDLL(None).malloc_trim(0)  # what is free but kept would hide a peak
    Path("/proc/self/clear_refs").write_text("5")
    return process_bytes("VmRSS")


def peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device == "cuda" else process_bytes("VmHWM")


def process_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name))) * 1024


def in_a_process(case: Case) -> dict[str, float]:
    words = [sys.executable, "-m", "benchmarks.trainer", "--measure", json.dumps(asdict(case))]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{case.part} {case.side} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(part: str, args: argparse.Namespace) -> None:
    """Measure a part's sides in turns, check that they agree, and print what was found."""
    found = defaultdict[str, list[dict[str, float]]](list)
    for _ in range(args.repeats):
        for side in SIDES[part]:
            found[side].append(in_a_process(case_of(args, part, side)))
            check_parity(part, side, found, TOLERANCE[args.device])
    ours = found[SIDES[part][0]]
    for side, runs in found.items():
        ratios = [a["seconds"] / b["seconds"] for a, b in zip(ours, runs, strict=True)]
        memory = statistics.median(r["extra_bytes"] for r in runs)
        print(
            f"{part:5}{side:18}{spread([r['seconds'] for r in runs])} s; ours / this: {spread(ratios)} of the time, "
            f"{statistics.median(r['extra_bytes'] for r in ours) / memory:.2f} of the memory; extra memory {memory / MIB:.0f} MiB"
            f"{rates(part, args, statistics.median(r['seconds'] for r in runs))}",
            flush=True,
        )


def check_parity(part: str, side: str, found: dict[str, list[dict[str, float]]], tolerance: float) -> None:
    """Raises RuntimeError where loss or gradient norm of a side are not those of our first run."""
    for name in ("loss", "norm"):
        ours, this = found[SIDES[part][0]][0][name], found[side][-1][name]
        if not math.isclose(ours, this, rel_tol=tolerance, abs_tol=tolerance):
            raise RuntimeError(
                f"{part}: {name} of {side} is {this}, ours {ours}: not the same work, so nothing to compare"
            )


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} .. {max(values):.2f})"


def rates(part: str, args: argparse.Namespace, seconds: float) -> str:
    """Tokens a second of a step, with MFU on CUDA."""
    if part == "head":
        return ""
    case = case_of(args, part, "ours")
    lengths = [len(row.tokens) for row in made_rows(case)]
    text = f"; {len(lengths)} rows, {sum(lengths)} tokens, {sum(lengths) / seconds:.0f} tokens/s"
    if args.device == "cpu":
        return text
    attention = 6 * case.layers * case.heads * case.head_dim * sum(n**2 for n in lengths)
    operations = 6 * num_parameters(case) * sum(lengths) + attention
    return f"{text}, MFU {operations / (seconds * args.peak_tflops * 1e12):.1%}"


def num_parameters(case: Case) -> int:
    """Matrices; embeddings count once, as the head that they are."""
    attention = case.hidden * case.head_dim * (2 * case.heads + 2 * case.kv_heads)
    return case.vocab * case.hidden + case.layers * (attention + 3 * case.hidden * case.intermediate)


def case_of(args: argparse.Namespace, part: str, side: str) -> Case:
    given = {**SHAPES[args.shape], **{k: v for k, v in vars(args).items() if v is not None}, "part": part, "side": side}
    return Case(**{field.name: given[field.name] for field in fields(Case)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--shape", choices=list(SHAPES), default="small")
    parser.add_argument("--hidden", type=int)
    numbers = {"tokens": 4096, "vocab": 151936, "groups": 4, "group_size": 8, "prompt": 192, "completion": 256}
    more = {"longest": 2048, "budget": 4096, "trl_batch": 8, "seed": 0, "threads": 1, "repeats": 5}
    for name, value in (numbers | more).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    parser.add_argument("--sigma", type=float, default=0.8)
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="dense bfloat16 of the device")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measured(Case(**json.loads(args.measure)))))
        return
    print(f"torch {torch.__version__}, {args.device}, {args.threads} threads, {args.repeats} repeats", flush=True)
    for part in args.part:
        compare(part, args)


if __name__ == "__main__":
    main()
