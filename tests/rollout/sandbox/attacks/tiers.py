"""Which tiers and users can be tried here; what cannot is skipped with a reason, which the last line of CI repeats."""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from rollout.sandbox import Tier
from tests.rollout.sandbox.attacks.surroundings import HOUSE
from tests.rollout.sandbox.attacks.user import NoOrdinaryUser, as_ordinary_user

USERS = ("root", "ordinary user")
_BARE_BUBBLEWRAP = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--", "true"]


def run_program(name: str, tier: Tier, *arguments: str, user: str = "") -> list[str]:
    """Lines printed by a program of this package that is about this tier; it must end well and complain of nothing.

    user: one of USERS, by default whoever we are.
    """
    prefix = _prefix_of(user)
    require(tier, prefix)
    command = [*prefix, sys.executable, "-m", f"tests.rollout.sandbox.attacks.{name}", tier, *arguments]
    environment = {"PYTHONPATH": str(HOUSE), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}
    ended = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, ""), f"{ended.returncode}: {ended.stderr[-3000:]}"
    return ended.stdout.splitlines()


def require(tier: Tier, prefix: Sequence[str] = ()) -> None:
    """Skip where this tier cannot be had by whoever a command with this prefix is run as."""
    if tier is not Tier.LANDLOCK and not _grants_namespaces(prefix):
        pytest.skip(
            f"attacks on tier {tier}: bubblewrap is missing, or refused to {'another' if prefix else 'this'} user"
        )


def _prefix_of(user: str) -> list[str]:
    if user == "root" and os.geteuid() != 0:
        pytest.skip("attacks as root: these tests run as an ordinary user")
    return ordinary_user() if user == "ordinary user" else []


def ordinary_user() -> list[str]:
    """What runs a command as an ordinary user; skips where there is none."""
    try:
        return as_ordinary_user()
    except NoOrdinaryUser as error:
        pytest.skip(f"attacks as an ordinary user: {error}")


def _grants_namespaces(prefix: Sequence[str]) -> bool:
    """Whether bubblewrap works at all for this user: asked of bubblewrap itself, not of the sandbox."""
    try:
        return subprocess.run([*prefix, *_BARE_BUBBLEWRAP], cwd="/", capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
