"""Upcasters between contract versions. Pure: a row of an older version in, a row of the next version out."""

from collections.abc import Callable
from typing import Any

from data_contracts import CONTRACT_VERSION

Row = dict[str, Any]

UPCASTERS: dict[str, tuple[str, Callable[[Row], Row]]] = {}
"""From `name@version` to (`name@next version`, function). Version 1.0 is the first: there is nothing to upcast yet."""


def upcast(contract_id: str, row: Row, upcasters: dict[str, tuple[str, Callable[[Row], Row]]] = UPCASTERS) -> Row:
    """Bring a row of `contract_id` to the current version, step by step.

    Raises ValueError where no path leads there.
    """
    name, _, version = contract_id.partition("@")
    while version != CONTRACT_VERSION:
        step = upcasters.get(f"{name}@{version}")
        if step is None:
            raise ValueError(
                f"contract {name}@{version} cannot be read by version {CONTRACT_VERSION}: no upcaster is registered. "
                "Materialise the dataset again, or install the release that wrote it"
            )
        version, row = step[0].partition("@")[2], step[1](row)
    return row
