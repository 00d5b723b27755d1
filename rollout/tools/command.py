"""`python -m rollout tools --recipe FILE`: the tools of a recipe's [tools] tables, as tasks declare them."""

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from rollout.tools.registry import stated_specs
from rollout.tools.tables import ToolTable


def main(arguments: Sequence[str]) -> None:
    """Print one ToolSpec a line, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m rollout tools", description=__doc__)
    parser.add_argument("--recipe", type=Path, required=True, help="TOML file with tables [tools.NAME]")
    for spec in stated_specs(read_tables(parser.parse_args(arguments).recipe)):
        print(spec.canonical())


def read_tables(path: Path) -> dict[str, ToolTable]:
    """The [tools] tables of a recipe. Raises ValueError where it has none."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: give the path of a recipe in TOML")
    tables = TypeAdapter(dict[str, ToolTable]).validate_python(tomllib.loads(path.read_text()).get("tools", {}))
    if not tables:
        raise ValueError(f"{path} has no table [tools.NAME]: add one, e.g. [tools.time] kind = 'mcp'")
    return tables
