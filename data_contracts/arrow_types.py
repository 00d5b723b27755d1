"""Widths of numbers in Arrow, as annotations on record fields."""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class ArrowType:
    """The Arrow type that a field is stored in, by its pyarrow name."""

    name: str


Int8 = Annotated[int, ArrowType("int8")]
Int16 = Annotated[int, ArrowType("int16")]
Int32 = Annotated[int, ArrowType("int32")]
Float32 = Annotated[float, ArrowType("float32")]
