"""`python -m rollout sample|evaluate --spec spec.json`."""

import argparse
import sys
from pathlib import Path

from data_contracts.manifests import RunKind, RunSpec
from rollout.process import guarded


def main() -> None:
    """Read the spec and do its work."""
    parser = argparse.ArgumentParser(prog="python -m rollout", description=__doc__)
    parser.add_argument("command", choices=[RunKind.SAMPLE.value, RunKind.EVALUATE.value])
    parser.add_argument("--spec", type=Path, required=True, help="JSON file of a RunSpec (data_contracts.manifests)")
    arguments = parser.parse_args()
    if not arguments.spec.is_file():
        raise FileNotFoundError(f"{arguments.spec} does not exist: give the path of a RunSpec in JSON")
    spec = RunSpec.from_json(arguments.spec.read_text())
    if spec.kind.value != arguments.command:
        raise ValueError(f"{arguments.spec} is a spec of kind {spec.kind.value!r}, not {arguments.command!r}")
    if spec.kind is RunKind.SAMPLE:
        from rollout.sampling import sample

        sample(spec)
    else:
        from rollout.evaluation import evaluate

        evaluate(spec)


if __name__ == "__main__":
    sys.exit(guarded(main))
