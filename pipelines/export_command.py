"""`toolpath export FORMAT --out DIR`: a released dataset in the form that another trainer reads."""

import argparse
import json
from pathlib import Path

from pipelines.store import Store
from rollout.names import nearest


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Format, folder, version."""
    parser.add_argument("format", help="trl-sft, trl-tokens, trl-grpo, verl-sft, verl-rl, prime-sft or verifiers")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not be there yet")
    parser.add_argument("--version", help="content hash of the dataset, or how it starts; default: the released one")


def run_export(store: Store, arguments: argparse.Namespace) -> str:
    """Write the export; returns what to tell of it. Raises ValueError for an unknown format, or one that has no rows."""
    from pipelines.publishing.exports import FORMATS
    from pipelines.publishing.exports.writing import LEFT_OUT, write_export

    if arguments.format not in FORMATS:
        raise ValueError(f"there is no export {arguments.format!r}{nearest(arguments.format, FORMATS)}")
    form = FORMATS[arguments.format]
    entry = store.version(form.asset, arguments.version) if arguments.version else store.latest(form.asset)
    export = form.make(store, entry)
    if not export.num_rows:
        reasons = "; ".join(sorted(set(export.left_out.values()))) or f"{form.asset} is empty"
        raise ValueError(f"no row of {form.asset} can be exported as {arguments.format}: {reasons}")
    facts = {"format": arguments.format, "reader": form.reader, "dataset": form.asset, "version": entry.content_hash}
    told = json.loads(write_export(arguments.out, export, facts))
    lines = [f"{form.reader}: {export.num_rows:,} rows of {form.asset} {entry.content_hash[:12]} in {arguments.out}"]
    lines += [f"left out {number:,}: {reason} ({LEFT_OUT})" for reason, number in told["left_out"].items()]
    return "\n".join(lines)
