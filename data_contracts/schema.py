"""Generated schemas: JSON Schema, Arrow schema and hub features of every contract, committed under data_contracts/schemas.

`python -m data_contracts.schema` writes them; a test fails when they drift from the records.
"""

import json
import types
import typing
from enum import IntEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic.fields import FieldInfo

from data_contracts.arrow_types import ArrowType
from data_contracts.attempts import Attempt
from data_contracts.decisions import Decision
from data_contracts.difficulty import Difficulty
from data_contracts.ids import content_hash
from data_contracts.manifests import CheckpointManifest, DatasetManifest, EvaluationRow, RunResult, RunSpec
from data_contracts.record import Record
from data_contracts.tasks import Task
from data_contracts.token_rows import TokenRow

ROW_CONTRACTS: tuple[type[Record], ...] = (Task, Attempt, TokenRow, Difficulty, Decision, EvaluationRow)
"""Contracts that are stored as Parquet rows."""
DOCUMENT_CONTRACTS: tuple[type[Record], ...] = (DatasetManifest, CheckpointManifest, RunSpec, RunResult)
"""Contracts that are stored as JSON documents."""

CONTRACT_KEY = b"toolpath.contract"
SCHEMA_FOLDER = Path(__file__).parent / "schemas"

_SCALARS: dict[type, pa.DataType] = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}


def arrow_type(annotation: Any, metadata: typing.Sequence[Any] = ()) -> tuple[pa.DataType, bool]:
    """The Arrow type of a field annotation, and whether it may be null. Raises TypeError for what cannot be stored."""
    for mark in metadata:
        if isinstance(mark, ArrowType):
            return pa.type_for_alias(mark.name), False
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return arrow_type(args[0], args[1:])
    if origin in (types.UnionType, typing.Union):
        (inner,) = (a for a in args if a is not type(None))
        return arrow_type(inner)[0], True
    if origin is tuple:
        item, nullable = arrow_type(args[0])
        return pa.list_(pa.field("item", item, nullable=nullable)), False
    return _plain_type(annotation), False


def _plain_type(annotation: Any) -> pa.DataType:
    if isinstance(annotation, type):
        if issubclass(annotation, Record):
            return pa.struct(_fields(annotation))
        if issubclass(annotation, IntEnum):
            return pa.int8()
        for base, stored in _SCALARS.items():
            if issubclass(annotation, base):
                return stored
    raise TypeError(
        f"{annotation!r} has no Arrow type: use str, int, float, bool, an enum, a record or a tuple of these"
    )


def _field(name: str, info: FieldInfo) -> pa.Field:
    stored, nullable = arrow_type(info.annotation, info.metadata)
    return pa.field(name, stored, nullable=nullable)


def _fields(record: type[Record]) -> list[pa.Field]:
    return [_field(name, info) for name, info in record.model_fields.items()]


def arrow_schema(record: type[Record]) -> pa.Schema:
    """The Arrow schema of a row contract, with the contract's id in its metadata."""
    return pa.schema(_fields(record), metadata={CONTRACT_KEY: record.contract_id().encode()})


def hub_features(stored: pa.DataType) -> dict[str, Any]:
    """The features of the `datasets` library for an Arrow type, in the form that `Features.from_dict` reads."""
    if pa.types.is_struct(stored):
        return {field.name: hub_features(field.type) for field in stored}
    if pa.types.is_list(stored):
        return {"feature": hub_features(stored.value_type), "_type": "List"}
    name = {"double": "float64", "float": "float32"}.get(str(stored), str(stored))
    return {"dtype": name, "_type": "Value"}


def _arrow_json(stored: pa.DataType) -> Any:
    if pa.types.is_struct(stored):
        return {f.name: {"type": _arrow_json(f.type), "nullable": f.nullable} for f in stored}
    if pa.types.is_list(stored):
        return {"list": _arrow_json(stored.value_type), "nullable": stored.value_field.nullable}
    return str(stored)


def schema_hash(record: type[Record]) -> str:
    """Hash of the Arrow schema: fields, types, nullability."""
    return content_hash(_arrow_json(pa.struct(list(arrow_schema(record)))))


def generated(record: type[Record]) -> dict[str, Any]:
    """All generated schemas of one contract."""
    out: dict[str, Any] = {"contract": record.contract_id(), "json_schema": record.model_json_schema()}
    if record in ROW_CONTRACTS:
        row = pa.struct(list(arrow_schema(record)))
        out |= {"arrow": _arrow_json(row), "hub_features": hub_features(row), "schema_hash": schema_hash(record)}
    return out


def write_schemas(folder: Path = SCHEMA_FOLDER) -> list[Path]:
    """Write one JSON file per contract into `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for record in (*ROW_CONTRACTS, *DOCUMENT_CONTRACTS):
        path = folder / f"{record.contract}.json"
        path.write_text(json.dumps(generated(record), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        paths.append(path)
    return paths


if __name__ == "__main__":
    for written in write_schemas():
        print(written.name)
