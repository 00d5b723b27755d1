"""How verifiers agree with verdicts that others recorded.

    python benchmarks/verifiers.py shared/data --part math
    python benchmarks/verifiers.py shared/data --part code --samples 500
    nice python -m benchmarks.verifiers shared/data --part code --threads 1 --notes build/verdicts

Answers of tora, mathcoder, verifiers and Qwen2.5-Math; programs of HumanEval, MBPP, CodeT and CodeContests. Prints a table a
source (recorded verdict against ours, strict and lenient) and, with its place, every item where neither of ours is the recorded
one; with `--strict` every item where the strict one is not. Programs run in the sandbox alone. Times are of this machine as it
is. With `--notes` each verdict is written down as it comes, and a run that is ended by hand goes on where it stopped.
"""

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

from data_contracts.attempts import Outcome
from data_contracts.tasks import VerifierRef
from pipelines.sources.importers import Imported, read_folder
from rollout.rewards import CodeJudge, Grader
from rollout.rewards.code import LIMITS
from rollout.sandbox import Sandbox
from tests.rollout.rewards.benchmarks import code_contests, fence, humaneval, mbpp, rows

SEED = 0


@dataclass(frozen=True)
class Case:
    """An answer with a recorded verdict."""

    place: str
    verifier: VerifierRef
    answer: str | None
    label: str


def recorded(data: Path, source: str) -> Iterator[Case]:
    """The attempts of a source whose task has a verifier."""
    for item in read_folder(data / "trajectories" / source):
        if isinstance(item, Imported) and item.task.verifier is not None:
            flags = "".join(f" ({flag.value})" for flag in item.attempt.flags if "grader" in flag.value)
            label = item.attempt.outcome.value + flags
            yield Case(item.attempt.source_ref, item.task.verifier, item.attempt.final_answer, label)


def qwen(data: Path) -> Iterator[Case]:
    """Chains of thought without tools: 8 samples a problem of MATH."""
    name = "qwen25math_math100_cot_n8_rm.jsonl.gz"
    for number, row in enumerate(rows(data / "samples_no_tools" / name), 1):
        for k, (text, right) in enumerate(zip(row["code"], row["score"], strict=True)):
            label = Outcome.CORRECT if right else Outcome.WRONG
            yield Case(f"{name}:{number}#{k}", VerifierRef(name="math", reference=row["gt"]), text, label.value)


def codet(data: Path) -> Iterator[Case]:
    """Completions of HumanEval by CodeGen-16B, 100 a task."""
    tasks = {row["task_id"]: humaneval(row) for row in rows(data / "tasks" / "humaneval.jsonl.gz")}
    name = "codet_humaneval_codegen16b_n100.jsonl.gz"
    for number, row in enumerate(rows(data / "samples_no_tools" / name), 1):
        reference = VerifierRef(name="code", reference=tasks[row["_src"]["task_id"]])
        for k, (sample, verdict) in enumerate(zip(row["samples"], row["_exec"], strict=True)):
            yield Case(f"{name}:{number}#{k}", reference, fence(row["prompt"] + sample), verdict)


def solutions(data: Path, name: str, reference: Callable[..., str], parts: Iterable[str]) -> Iterator[Case]:
    """The reference solutions of a benchmark, which are all right."""
    for row in rows(data / "tasks" / f"{name}.jsonl.gz"):
        code = "".join(row[part] for part in parts)
        yield Case(
            f"{name} {row['task_id']}", VerifierRef(name="code", reference=reference(row)), fence(code), "correct"
        )


def trivial(data: Path) -> Iterator[Case]:
    """A program that prints nothing, for every task of CodeContests."""
    for number, row in enumerate(rows(data / "tasks" / "code_contests_test.jsonl.gz"), 1):
        yield Case(
            f"code_contests_test:{number}",
            VerifierRef(name="code", reference=code_contests(row)),
            fence("pass"),
            "wrong",
        )


@dataclass(frozen=True)
class Verdict:
    """Ours."""

    strict: str
    lenient: str
    reason: str | None


@dataclass(frozen=True)
class Notes:
    """Verdicts by place, in a file of JSON lines for each source; without a folder nothing is kept."""

    folder: Path | None

    def known(self, title: str) -> dict[str, Verdict]:
        """Those of an earlier run."""
        path = self._path(title)
        lines = path.read_text().splitlines() if path and path.is_file() else []
        return {place: Verdict(*verdict) for place, *verdict in map(json.loads, lines)}

    def add(self, title: str, place: str, verdict: Verdict) -> None:
        """Write one down; for one thread."""
        if path := self._path(title):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(json.dumps([place, *astuple(verdict)]) + "\n")

    def _path(self, title: str) -> Path | None:
        return self.folder and self.folder / f"{title.replace(' ', '_')}.jsonl"


@dataclass(frozen=True)
class Bench:
    """What judges, and how it is shown."""

    grader: Grader
    notes: Notes
    num_threads: int
    list_strict: bool

    def verdict(self, case: Case) -> Verdict:
        """Judge one."""
        parts, _ = self.grader.judge(case.verifier, case.answer)
        values = {part.name: _word(part.value) for part in parts}
        return Verdict(values["correct_strict"], values["correct_lenient"], parts[0].reason)

    def verdicts(self, title: str, cases: list[Case]) -> dict[str, Verdict]:
        """Of all cases, by place: those that are noted, then the others."""
        known = self.notes.known(title)
        new = [case for case in cases if case.place not in known]
        with ThreadPoolExecutor(self.num_threads) as pool:
            try:
                for case, verdict in zip(new, pool.map(self.verdict, new), strict=True):
                    known[case.place] = verdict
                    self.notes.add(title, case.place, verdict)
            finally:
                pool.shutdown(cancel_futures=True)
        return known

    def compare(self, title: str, cases: list[Case]) -> None:
        """Judge and print."""
        start, cpu = time.perf_counter(), time.process_time()
        verdicts = self.verdicts(title, cases)
        took, used = time.perf_counter() - start, time.process_time() - cpu
        print(f"\n## {title}: {len(cases)} in {took:.1f} s, {used:.1f} s CPU in this process")
        counts = Counter((case.label, verdicts[case.place].strict, verdicts[case.place].lenient) for case in cases)
        for case in cases:
            found = verdicts[case.place]
            right = (found.strict,) if self.list_strict else (found.strict, found.lenient)
            if _expected(case.label) not in right or found.strict == "none":
                _show(case, found)
        print(f"{'recorded':24} {'strict':8} {'lenient':8} {'number':>7}")
        for (label, strict, lenient), number in sorted(counts.items()):
            print(f"{label:24} {strict:8} {lenient:8} {number:7}")


def _word(value: float | None) -> str:
    return "none" if value is None else "right" if value == 1 else "wrong"


def _expected(label: str) -> str:
    return "right" if label in ("correct", "pass") else "wrong"


def _show(case: Case, found: Verdict) -> None:
    short = case.verifier.reference if case.verifier.name == "math" else ""
    tail = (case.answer or "no final message").strip()[-160:] if short else ""
    words = f"[{case.label}; strict {found.strict}, lenient {found.lenient}]"
    print(f"- {case.place} {words} {short!r} {tail!r} {found.reason or ''}")


def programs(data: Path, num_samples: int | None) -> Iterator[tuple[str, list[Case]]]:
    """Sources of programs, by title; of CodeT's samples so many."""
    yield "HumanEval", list(solutions(data, "humaneval", humaneval, ("prompt", "canonical_solution")))
    yield "MBPP", list(solutions(data, "mbpp", mbpp, ("code",)))
    yield "CodeContests, empty program", list(trivial(data))
    samples = list(codet(data))
    yield "CodeT", samples if num_samples is None else random.Random(SEED).sample(samples, num_samples)


def answers(data: Path) -> Iterator[tuple[str, list[Case]]]:
    """Sources of answers, by title."""
    for source in ("tora", "mathcoder", "verifiers"):
        yield source, list(recorded(data, source))
    yield "Qwen2.5-Math", list(qwen(data))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of recorded data: trajectories/, samples_no_tools/, tasks/")
    parser.add_argument("--part", choices=["math", "code"], required=True)
    parser.add_argument("--samples", type=int, help="of CodeT, drawn from a fixed seed; all by default")
    parser.add_argument("--strict", action="store_true", help="list the disagreements of the strict verdict")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--notes", type=Path, help="folder; a second call goes on where one stopped")
    return parser.parse_args()


def main() -> None:
    """Read, judge, print."""
    args = arguments()
    notes = Notes(args.notes)
    if args.part == "math":
        bench = Bench(Grader(), notes, args.threads, args.strict)
        for title, cases in answers(args.data):
            bench.compare(title, cases)
        return
    with Sandbox(LIMITS, args.threads) as sandbox:
        bench = Bench(Grader(CodeJudge(sandbox)), notes, args.threads, list_strict=True)
        for title, cases in programs(args.data, args.samples):
            bench.compare(title, cases)


if __name__ == "__main__":
    main()
