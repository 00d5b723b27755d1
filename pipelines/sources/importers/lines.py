"""JSON lines of a file that may be broken anywhere."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""An escape that may be half of a surrogate pair: only such lines need the check that they can be written as UTF-8."""


@dataclass(frozen=True)
class Line:
    """One line: the row, or why there is none."""

    number: int
    """From 1."""
    row: dict[str, Any] | None
    problem: str = ""


def read_lines(path: Path) -> Iterator[Line]:
    """Every line that is not blank, as a row or as a problem; a compressed file that breaks off ends with a problem."""
    number = 0
    with _opened(path) as file:
        while True:
            number += 1
            try:
                data = file.readline()
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                yield Line(number, None, f"the file breaks off: {error}")
                return
            if not data:
                return
            if data.strip():
                yield _parsed(number, data)


def _opened(path: Path) -> BinaryIO | gzip.GzipFile:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _parsed(number: int, data: bytes) -> Line:
    try:
        row = json.loads(data.decode("utf-8"))
        if _SURROGATE.search(data):
            json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        return Line(number, None, f"not UTF-8: {error}")
    except UnicodeEncodeError as error:
        return Line(number, None, f"text with half a surrogate pair, which no UTF-8 file can hold: {error.reason}")
    except json.JSONDecodeError as error:
        return Line(number, None, f"not JSON: {error}")
    except (ValueError, RecursionError) as error:
        return Line(number, None, f"JSON beyond what can be read: {error}")
    if not isinstance(row, dict):
        return Line(number, None, f"a JSON {type(row).__name__} where an object is expected")
    return Line(number, row)
