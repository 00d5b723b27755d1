"""The arrows between rooms hold, lazy imports included, and Dagster is known in few places."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
DAGSTER_ROOMS = (
    "pipelines.defs",
    "pipelines.launchers",
    "pipelines.resources",
    "pipelines.definitions",
    "pipelines.cli",
)
LIGHT = ("pipelines.definitions", "pipelines.cli", "data_contracts.storage")
HEAVY = {"torch", "transformers", "datasets", "matplotlib", "duckdb", "scipy"}


def modules(package: str) -> list[tuple[str, Path]]:
    return [
        (".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"), path)
        for path in sorted((PROJECT / package).rglob("*.py"))
    ]


def imported(path: Path) -> set[str]:
    """Top-level names of everything that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_the_import_arrows_hold():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "path"), modules("pipelines"), ids=lambda value: value if isinstance(value, str) else ""
)
def test_dagster_is_known_in_few_rooms(name, path):
    if not name.startswith(DAGSTER_ROOMS):
        assert not {"dagster", "dagster_pipes"} & imported(path)


@pytest.mark.parametrize("name", LIGHT)
def test_a_code_location_loads_without_the_model_stack(name):
    code = f"import sys, {name}; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_there_is_no_module_of_leftovers():
    names = [name for package in ("data_contracts", "rollout", "trainer", "pipelines") for name, _ in modules(package)]
    assert not [name for name in names if name.rpartition(".")[2] in ("utils", "helpers", "common", "misc")]
