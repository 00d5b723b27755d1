"""`python -m rollout compare`: two finished evaluations beside each other, paired by task or by item."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rollout.evaluation.comparison import Pairing, compare
from rollout.evaluation.result import read_scores
from rollout.evaluation.tables import comparison_table

_REMEDIES = {
    Pairing.TASK: f"compare runs on the same suite, prompt, tools and limits, or pair them with --by {Pairing.ITEM}",
    Pairing.ITEM: "compare runs on the same suite",
}


def main(words: Sequence[str]) -> None:
    """Print the comparison. Raises ValueError where the two have no task in common."""
    parser = argparse.ArgumentParser(prog="python -m rollout compare", description=__doc__)
    parser.add_argument("first", type=Path, help="output folder of `eval`")
    parser.add_argument("second", type=Path)
    parser.add_argument(
        "--by",
        type=Pairing,
        choices=list(Pairing),
        default=Pairing.TASK,
        help="pair the same task (default), or the same item of a suite although it was asked with another prompt, other "
        "tools or limits",
    )
    arguments = parser.parse_args(words)
    folders = (arguments.first, arguments.second)
    found = compare(read_scores(folders[0]), read_scores(folders[1]), arguments.by)
    if not found:
        remedy = _REMEDIES[arguments.by]
        raise ValueError(f"{folders[0]} and {folders[1]} have no {arguments.by} in common: {remedy}")
    print(comparison_table((folders[0].name, folders[1].name), found).text())
