"""Canonical JSON by orjson, several times as fast as Python's encoder, where it serves as well."""

from hashlib import blake2b
from typing import Any

import orjson

from data_contracts.ids import canonical_json, content_hash


def object_json(values: dict[str, Any]) -> str:
    """`canonical_json` of an object. Only texts go the fast way: the encoders write some numbers differently."""
    if not all(type(value) is str for value in values.values()):
        return canonical_json(values)
    try:
        return orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError:  # half a surrogate pair, for the reader of the text to refuse
        return canonical_json(values)


def fingerprint_of(value: Any) -> str:
    """A hash by which byte-identical records are told; equal JSON values give equal hashes, whatever the order of keys."""
    try:
        return blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
    except orjson.JSONEncodeError:  # integers beyond 64 bits, half a surrogate pair
        return content_hash(value)
