"""What one process or several ranks do alike, as a program: `... -m torch.distributed.run ... -m tests.trainer.ranks FOLDER`."""

import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from data_contracts.attempts import Attempt
from data_contracts.manifests import RunSpec
from rollout.groups import Job
from tests.trainer.packs import make_learner, random_pack
from tests.trainer.test_resume import recipe as sft_recipe
from tests.trainer.test_resume import weights
from tests.trainer.test_rl import TASKS, Judged
from tests.trainer.test_rl import recipe as rl_recipe
from trainer import rl, sft
from trainer.checkpoints import save_state
from trainer.commands import execute
from trainer.distributed import World, joined
from trainer.learner import Learner
from trainer.runs import Run

SPEC = "spec.json"
"""In the folder: an SFT run from files to files."""
SFT_BUDGETS = {"many": 32, "one": 1024}
"""Tokens per micro-batch: several to share, and one, which leaves all ranks but the first without any."""


class Counted(Judged):
    """Notes in a file of its own rank how many attempts it was asked for."""

    def __init__(self, learner: Learner, file: Path) -> None:
        super().__init__(learner)
        self.file = file

    def attempts(self, jobs: list[Job], moment: str) -> list[Attempt]:
        with self.file.open("a") as file:
            file.write(f"{moment} {len(jobs)}\n")
        return super().attempts(jobs, moment)


def learner_in(world: World, seed: int = 0) -> Learner:
    learner = make_learner(seed)
    learner.world = world
    return learner


def train_sft(folder: Path, world: World) -> None:
    """A few steps for each budget."""
    for name, budget in SFT_BUDGETS.items():
        learner = learner_in(world)
        settings = sft_recipe(lr=1e-3, max_steps=5, tokens_per_microbatch=budget, eval_every=2, plateau_patience=50)
        sft.train(learner, random_pack(17, seed=0), settings, 7, folder / name, lambda step: step / 100)
        torch.save(weights(learner), folder / f"{name}-{world.rank}.pt")


def save_slowly(*what: Any) -> None:
    """As on a slow disk: a rank that did not wait for the first would restore what was there before."""
    time.sleep(1.0)
    save_state(*what)


@mock.patch("trainer.journal.save_state", save_slowly)
def train_rl(folder: Path, world: World) -> None:
    """One step, then another by fresh learners that resume."""
    for seed, max_steps in ((0, 1), (5, 2)):
        learner = learner_in(world, seed)
        source = Counted(learner, folder / f"asked-{world.rank}")
        rl.train(learner, source, TASKS, rl_recipe(lr=1e-3, max_steps=max_steps), 3, folder / "rl")
    torch.save(weights(learner), folder / f"rl-{world.rank}.pt")


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined(0) as world:
        train_sft(folder, world)
        train_rl(folder, world)
        execute(Run(RunSpec.from_json((folder / SPEC).read_text()), world))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
