"""What an export holds: tables, and why a row is in none of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

TRAIN = "train"
"""Name of the only table of most exports."""


@dataclass(frozen=True)
class Export:
    """File name without ending → rows. Every row that went in stands in a table or, by its key, among those left out.

    Example:
        Export({"train": pa.table({"key": ["attempt-1"]})}, {"attempt-2": "call_2: arguments are no JSON object"})
    """

    tables: Mapping[str, pa.Table]
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Key → what the reader could not take."""

    @property
    def num_rows(self) -> int:
        """Rows of all tables."""
        return sum(table.num_rows for table in self.tables.values())


def table_of(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, pa.DataType]) -> pa.Table:
    """Rows as a table of exactly these columns."""
    return pa.Table.from_pylist(list(rows), schema=pa.schema(list(columns.items())))


def in_key_order(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The same rows in the same order, whatever the order in which they came."""
    return sorted(rows, key=lambda row: str(row["key"]))
