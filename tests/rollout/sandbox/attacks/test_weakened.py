"""The test of the tests: without a layer, attacks that it alone stops turn red.

A layer is taken out of a copy of the package, by redefining one function at the end of a module: the sandbox itself knows no
way to do so. What is run there is harmless where it succeeds, and the copy runs under limits of its own.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rollout.sandbox import Tier
from tests.rollout.sandbox.attacks.surroundings import HOUSE
from tests.rollout.sandbox.attacks.tiers import require

OUTER_LIMITS = ["prlimit", f"--as={16 << 30}", "--cpu=120", f"--fsize={1 << 30}", "--core=0"]

NO_SELF_TEST = "\n\ndef verify(*_):\n    pass\n"
NO_SECCOMP = """
_strict = assemble
def policy(machine, **_): return {0: RETURN_ALLOW}
def assemble(machine, verdicts, default=RETURN_ALLOW): return _strict(machine, verdicts, default)
"""
NO_LANDLOCK = "\ndef read_only(paths): pass\n"
NO_LIMITS = "\ndef _limit(limits, base_bytes): pass\n"
HOST_FILES_SHOWN = """
_few = _files
def _files(): return ["--ro-bind", "/etc", "/etc", *_few()]
"""
SHARED_NETWORK = """
_every = _namespaces
def _namespaces(): return [flag for flag in _every() if flag != "--unshare-net"]
"""
LARGE_BOX = """
from dataclasses import replace
_small = entry
def entry(limits): return _small(replace(limits, disk_bytes=2**30, num_inodes=200_000))
"""

PACKAGE_SHOWN = "\ndef cover(directory): pass\n"

SYSTEM_CALLS = ["memfd", "larger pipes", "inotify_init1", "keyctl"]
LARGE = ["malloc of the C library", "shared anonymous memory"]
"""None of it is touched."""
WITHOUT = [
    (Tier.LANDLOCK, "seccomp.py", NO_SECCOMP, SYSTEM_CALLS),
    (Tier.LANDLOCK, "landlock.py", NO_LANDLOCK, ["read '/etc/passwd'", "read CANARY", "list what is running"]),
    (Tier.LANDLOCK, "isolation.py", NO_LIMITS, LARGE),
    (Tier.BWRAP_LANDLOCK, "seccomp.py", NO_SECCOMP, SYSTEM_CALLS),
    (
        Tier.BWRAP_LANDLOCK,
        "landlock.py",
        NO_LANDLOCK,
        ["read the fork server", "read sys.executable"],
    ),
    (Tier.BWRAP_LANDLOCK, "isolation.py", NO_LIMITS, LARGE),
    (Tier.BWRAP, "seccomp.py", NO_SECCOMP, SYSTEM_CALLS),
    (Tier.BWRAP, "bubblewrap.py", HOST_FILES_SHOWN, ["read '/etc/passwd'"]),
    (Tier.BWRAP, "box.py", LARGE_BOX, ["many files", "unlinked files that stay open"]),
    (Tier.BWRAP, "box.py", PACKAGE_SHOWN, ["read the fork server", "list the fork server's package"]),
    (Tier.BWRAP, "isolation.py", NO_LIMITS, LARGE),
]


def objections(copy: Path, tier: Tier, names: list[str]) -> dict[str, str | None]:
    command = [*OUTER_LIMITS, sys.executable, "-m", "tests.rollout.sandbox.attacks.weakened", tier, *names]
    environment = {"PYTHONPATH": str(copy), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


def copy_house(place: Path) -> Path:
    """The sandbox and its attacks, at a place that any user of a sandbox can read."""
    for part in ("rollout", "tests/rollout/sandbox"):
        shutil.copytree(HOUSE / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests/__init__.py", "tests/rollout/__init__.py"):
        shutil.copy(HOUSE / name, place / name)
    return place


SECOND_WALLS = [
    (Tier.BWRAP, "bubblewrap.py", SHARED_NETWORK, ["connect to the host", "an abstract socket"]),
]
"""What the allow-list would stop too: these are tried where it is gone already (elsewhere Landlock is a third wall)."""


def names_of(rows: list[tuple[Tier, str, str, list[str]]]) -> list[str]:
    return [f"{tier}-{module}" for tier, module, _, _ in rows]


def weaken(house: Path, module: str, weakness: str) -> None:
    with (house / "rollout" / "sandbox" / module).open("a") as file:
        file.write(weakness)


@pytest.mark.parametrize(("tier", "module", "weakness", "names"), WITHOUT, ids=names_of(WITHOUT))
def test_without_a_layer_attacks_turn_red(tmp_path: Path, tier: Tier, module: str, weakness: str, names: list[str]):
    require(tier)
    house = copy_house(tmp_path)
    assert objections(house, tier, names) == dict.fromkeys(names)
    weaken(house, "selftest.py", NO_SELF_TEST)
    weaken(house, module, weakness)
    assert None not in objections(house, tier, names).values()


@pytest.mark.parametrize(("tier", "module", "weakness", "names"), SECOND_WALLS, ids=names_of(SECOND_WALLS))
def test_namespaces_hold_without_the_allow_list(
    tmp_path: Path, tier: Tier, module: str, weakness: str, names: list[str]
):
    require(tier)
    house = copy_house(tmp_path)
    weaken(house, "selftest.py", NO_SELF_TEST)
    weaken(house, "seccomp.py", NO_SECCOMP)
    assert objections(house, tier, names) == dict.fromkeys(names)
    weaken(house, module, weakness)
    assert None not in objections(house, tier, names).values()
