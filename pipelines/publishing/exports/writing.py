"""An export as a folder: Parquet files, what was left out and why, and from which version it was made."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from data_contracts.ids import canonical_json
from data_contracts.storage import parquet_bytes, scratch_folder, settle
from pipelines.publishing.exports.export import Export

FACTS, LEFT_OUT = "export.json", "left_out.csv"


def write_export(out: Path, export: Export, facts: Mapping[str, str]) -> str:
    """Write the folder, whole or not at all; returns `export.json`: `facts`, rows by file, and what was left out by reason.

    Raises ValueError for a folder that is there already.
    """
    if out.exists():
        raise ValueError(
            f"{out} is there already, and an export never mixes with another: delete it, or name a new --out"
        )
    rows = {f"{name}.parquet": table.num_rows for name, table in export.tables.items()}
    told = canonical_json({**facts, "rows": rows, "left_out": Counter(export.left_out.values())})
    with scratch_folder(out.parent) as scratch:
        for name, table in export.tables.items():
            (scratch / f"{name}.parquet").write_bytes(parquet_bytes(table))
        left_out = sorted(export.left_out.items())
        columns = {"key": [key for key, _ in left_out], "reason": [reason for _, reason in left_out]}
        pl.DataFrame(columns, schema={"key": pl.String, "reason": pl.String}).write_csv(scratch / LEFT_OUT)
        (scratch / FACTS).write_text(told + "\n")
        settle(scratch, out)
    return told
