"""`toolpath eval SUITE ...`: loads suites, looks for them in training data, and starts `python -m rollout eval`."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from data_contracts.overlaps import Overlap
from data_contracts.storage import write_dataset
from data_contracts.tasks import Task
from pipelines.sources.suites import Question, Suite, find_suite
from rollout.private_folder import private_folder

EPILOG = "All other options are those of `python -m rollout eval`, e.g. --checkpoint, --attempts 8, --temperature 1, --seed 0."


def add_suite_arguments(parser: argparse.ArgumentParser) -> None:
    """What the suites need; the rest goes on to the process."""
    parser.epilog = EPILOG
    parser.add_argument("suites", nargs="+", metavar="SUITE", help="names, see `toolpath suites`")
    parser.add_argument("--output", type=Path, required=True, help="folder; each suite has one of its own in it")
    parser.add_argument("--copy", type=Path, help="a local copy, for one suite: .jsonl[.gz], .parquet, or a folder")
    parser.add_argument("--at", metavar="REVISION", help="of the suite on the hub; default: main")
    parser.add_argument("--training", type=Path, help="training data that is looked through for the suite's items")
    parser.add_argument("--max-turns", type=int, help="assistant messages in an attempt; default 16")
    parser.add_argument("--max-tokens", type=int, help="tokens of an attempt, prompt included; default 20480")


def run_suites(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    """Evaluate suite after suite; returns the first exit code that is not 0."""
    suites = [find_suite(name) for name in arguments.suites]
    if arguments.copy is not None and len(suites) > 1:
        raise ValueError(f"--copy {arguments.copy} is a copy of one suite, but {len(suites)} are named: run them apart")
    for suite in suites:
        code = _run_suite(suite, arguments, rest)
        if code:
            return code
    return 0


def list_suites() -> str:
    """Names, places, licences."""
    from pipelines.sources.suites import SUITES
    from rollout.text_table import aligned

    lines = [
        (
            s.name,
            s.hub_id,
            s.config or s.file or "",
            s.split,
            s.licence,
            "hashes and scores" if s.redact else "attempts",
        )
        for s in SUITES.values()
    ]
    return aligned(("suite", "hub", "config or file", "split", "licence", "what is stored"), lines)


def _run_suite(suite: Suite, arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from pipelines.sources.suites.loading import LIMITS, found_revision, load_questions, suite_tasks

    given = {"max_turns": arguments.max_turns, "max_tokens": arguments.max_tokens}
    limits = LIMITS.model_copy(update={name: value for name, value in given.items() if value is not None})
    revision = found_revision(suite, arguments.copy, arguments.at)
    questions = load_questions(suite, arguments.copy, revision)
    # The questions lie in a private temporary folder while the process runs: some suites forbid to keep them elsewhere.
    with private_folder() as scratch:
        tasks, _ = write_dataset(scratch, "tasks", suite_tasks(suite, questions, limits), Task)
        more = ["--redact"] if suite.redact else []
        if revision is not None:
            more += ["--suite-revision", revision]
        if arguments.training is not None:
            more += ["--overlaps", str(_overlaps(suite, questions, arguments))]
        output = str(arguments.output / suite.name)
        command = [sys.executable, "-m", "rollout", "eval", str(tasks), "--suite", suite.name, "--output", output]
        return subprocess.run([*command, *more, *rest], check=False).returncode


def _overlaps(suite: Suite, questions: Sequence[Question], arguments: argparse.Namespace) -> Path:
    """The dataset of what training rows share with the suite; it names items and holds no text."""
    from pipelines.curation.contamination import index_of, row_overlaps
    from pipelines.curation.decontamination import DecontaminationRecipe
    from pipelines.sources.suites.loading import question_items
    from pipelines.sources.training_texts import training_texts

    items = {item.name: item.text for item in question_items(suite, questions)}
    found = row_overlaps(training_texts(arguments.training), index_of(items, DecontaminationRecipe()))
    folder, _ = write_dataset(arguments.output / suite.name, "overlaps", found, Overlap)
    return folder
