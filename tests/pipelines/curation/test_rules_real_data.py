"""What the rules find in recorded attempts of three sources: the counts that were read by eye, and no good row lost."""

from collections import Counter
from functools import cache

import pytest

from data_contracts.attempts import Outcome
from data_contracts.decisions import Verdict
from pipelines.curation.recipes import Narration, SftDataRecipe
from pipelines.curation.selection import broken_rules, select_sft
from pipelines.sources.importers import read_folder
from tests.recorded_data import DATA, needs_data

pytestmark = needs_data
TASTE = SftDataRecipe(
    narrations=tuple(Narration),
    max_error_ratio=0.5,
    drop_unrecovered_errors=True,
    max_repeats=0,
    max_no_op_calls=0,
    needs_grounded_answer=True,
    drop_machine_paths=True,
)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Attempts and tasks of a source; of MathCoder one model alone, which is enough and quick."""
    folder = tmp_path_factory.mktemp("logs") / "mathcoder"
    folder.mkdir()
    (folder / "MathCoder-CL-7b.jsonl.gz").symlink_to(DATA / "trajectories" / "mathcoder" / "MathCoder-CL-7b.jsonl.gz")
    places = {"mathcoder": folder}

    @cache
    def read(source):
        imported = list(read_folder(places.get(source, DATA / "trajectories" / source)))
        return [row.attempt for row in imported], list({row.task.key: row.task for row in imported}.values())

    return read


def correct(attempts):
    return [attempt for attempt in attempts if attempt.outcome is Outcome.CORRECT]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("tau1", {"no_tool_call": 2, "unrecovered_error": 2, "repeated_call": 2, "no_op_call": 9}),
        (
            "verifiers",
            {
                "void_turn": 1,
                "no_tool_call": 31,
                "invalid_arguments": 1,
                "error_ratio": 6,
                "unrecovered_error": 4,
                "repeated_call": 26,
                "ungrounded_answer": 11,
            },
        ),
        ("mathcoder", {"no_tool_call": 3, "repeated_call": 1}),
    ],
)
def test_what_all_rules_find_among_correct_attempts(read, source, expected):
    """The hits were read one by one."""
    attempts, tasks = read(source)
    found = broken_rules(correct(attempts), TASTE, tasks)
    assert Counter(finding.reason.value for findings in found.values() for finding in findings) == expected


@pytest.mark.parametrize(
    ("source", "lost"),
    [
        ("tau1", {"no_tool_call": 2}),
        ("verifiers", {"void_turn": 1, "no_tool_call": 30, "invalid_arguments": 1, "duplicate": 10}),
        ("mathcoder", {"no_tool_call": 3}),
    ],
)
def test_the_default_recipe_loses_no_good_row(read, source, lost):
    """The rules that are on by default drop what calls no tool, copies, and what is truly broken; nothing else."""
    attempts, tasks = read(source)
    kept, decisions = select_sft(correct(attempts), SftDataRecipe(), tasks)
    dropped = Counter(d.reason.value for d in decisions if d.verdict is Verdict.DROP)
    assert dropped == lost
    assert len(kept) + dropped.total() == len(correct(attempts))
