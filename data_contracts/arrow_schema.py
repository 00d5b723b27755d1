"""Records as Arrow: the schema that a row contract is stored under, and its hash."""

import types
import typing
from enum import IntEnum
from typing import Any

import pyarrow as pa
from pydantic.fields import FieldInfo

from data_contracts.arrow_types import ArrowType
from data_contracts.ids import content_hash
from data_contracts.record import Record

CONTRACT_KEY = b"toolpath.contract"

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


def arrow_json(stored: pa.DataType) -> Any:
    """An Arrow type as JSON-ready values."""
    if pa.types.is_struct(stored):
        return {f.name: {"type": arrow_json(f.type), "nullable": f.nullable} for f in stored}
    if pa.types.is_list(stored):
        return {"list": arrow_json(stored.value_type), "nullable": stored.value_field.nullable}
    return str(stored)


def schema_hash(record: type[Record]) -> str:
    """Hash of the Arrow schema: fields, types, nullability."""
    return content_hash(arrow_json(pa.struct(list(arrow_schema(record)))))
