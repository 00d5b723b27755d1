"""JSON lines of a file that may be broken anywhere."""

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

MAX_ROW_BYTES = 64 * 1024 * 1024
"""Rows beyond this are refused: no trajectory is that long, and whoever reads them would need several times the room."""
BUFFER_BYTES = 128 * 1024

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""An escape that may be half of a surrogate pair."""
_ROUNDED = 2.0**63
_LOOKED_INTO = frozenset({dict, list, float})


@dataclass(frozen=True)
class Line:
    """One line: the row, or why there is none."""

    number: int
    """From 1."""
    row: dict[str, Any] | None
    problem: str = ""


def read_lines(path: Path, max_row_bytes: int = MAX_ROW_BYTES) -> Iterator[Line]:
    """Every line that is not blank, as a row or as a problem; a compressed file that breaks off ends with a problem.

    At most one line of `max_row_bytes` is held at a time.
    """
    with _opened(path) as file:
        number = 0
        while True:
            number += 1
            try:
                data, num_bytes = _line(file, max_row_bytes)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                yield Line(number, None, f"the file breaks off: {error}")
                return
            if not num_bytes:
                return
            if data.strip():
                yield (
                    row_too_long(number, num_bytes, max_row_bytes)
                    if num_bytes > max_row_bytes
                    else _parsed(number, data)
                )


def read_document(path: Path, max_row_bytes: int = MAX_ROW_BYTES) -> Iterator[Line]:
    """A file that is one JSON object: its only row, or the problem."""
    num_bytes = path.stat().st_size
    yield row_too_long(1, num_bytes, max_row_bytes) if num_bytes > max_row_bytes else _parsed(1, path.read_bytes())


def _opened(path: Path) -> BinaryIO | io.BufferedReader:
    return io.BufferedReader(_Gzip(path), BUFFER_BYTES) if path.suffix == ".gz" else path.open("rb")


class _Gzip(gzip.GzipFile):
    """Read in pieces of the reader's size, not of 8 kB; what stands before a break is still read."""

    def readinto(self, buffer: Any) -> int:
        return self.readinto1(buffer)


def _line(file: BinaryIO | io.BufferedReader, limit: int) -> tuple[bytes, int]:
    """The next line, at most `limit` + 1 bytes of it, and its whole length; (b"", 0) at the end of the file."""
    data = piece = file.readline(limit + 1)
    num_bytes = len(data)
    while len(piece) > limit and not piece.endswith(b"\n"):
        piece = file.readline(limit + 1)
        num_bytes += len(piece)
    return data, num_bytes


def row_too_long(number: int, num_bytes: int, limit: int) -> Line:
    """The problem of a row beyond the limit."""
    return Line(number, None, f"a row of {num_bytes:,} bytes, more than [recorded] max_row_bytes = {limit:,}")


def _parsed(number: int, data: bytes) -> Line:
    try:
        row = parse_json(data)
    except (ValueError, RecursionError) as error:
        return Line(number, None, _problem(error))
    if not isinstance(row, dict):
        return Line(number, None, f"a JSON {type(row).__name__} where an object is expected")
    return Line(number, row)


class RepeatedKeyError(ValueError):
    """An object that names a key twice: nobody can say which value is meant."""


def parse_json(data: bytes) -> Any:
    """The value of a JSON text; Python's NaN and Infinity are numbers here, for the contract to refuse.

    Raises ValueError for text that is none, that names a key of an object twice, or that holds what no UTF-8 file can.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:  # stricter than Python's parser, which wrote most logs and has the last word
        return _parse_slowly(data)
    if _written_back(value, data) or not _needs_second_look(data, value):
        return value
    return _parse_slowly(data)


def _written_back(value: Any, data: bytes) -> bool:
    """Whether the value gives its text again, so that nothing of it was lost: a tenth of the second look's time."""
    try:
        return orjson.dumps(value) == data.strip()
    except orjson.JSONEncodeError:  # nested deeper than orjson writes
        return False


def _parse_slowly(data: bytes) -> Any:
    value = json.loads(data.decode("utf-8"), object_pairs_hook=_without_repeats)
    if _SURROGATE.search(data):
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _needs_second_look(data: bytes, value: Any) -> bool:
    """Whether the text has more keys than its value, or integers that the fast parser rounds (from 2^64).

    Colons right after a quote are counted: one that stands inside a text, after an escaped quote, is a false alarm at
    most. Not seen: a repeated key in a text that also parts just as many keys from their colons by spaces.
    """
    num_keys, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if type(item) is float:
            if abs(item) >= _ROUNDED:
                return True
        elif type(item) is dict:
            num_keys += len(item)
            waiting += [inner for inner in item.values() if type(inner) in _LOOKED_INTO]
        elif type(item) is list:
            waiting += [inner for inner in item if type(inner) in _LOOKED_INTO]
    num_colons = data.count(b'":')
    return num_colons != num_keys and num_colons - data.count(b'\\":') != num_keys


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RepeatedKeyError(f"the key {twice[:80]!r} stands twice in one object")
    return found


def _problem(error: ValueError | RecursionError) -> str:
    match error:
        case UnicodeDecodeError():
            return f"not UTF-8: {error}"
        case UnicodeEncodeError():
            return f"text with half a surrogate pair, which no UTF-8 file can hold: {error.reason}"
        case json.JSONDecodeError():
            return f"not JSON: {error}"
        case RepeatedKeyError():
            return str(error)
    return f"JSON beyond what can be read: {error}"
