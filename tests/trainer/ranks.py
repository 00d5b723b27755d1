"""What one process or several ranks do alike, as a program: `... -m torch.distributed.run ... -m tests.trainer.ranks FOLDER`."""

import sys
from pathlib import Path

import torch

from data_contracts.manifests import RunSpec
from tests.trainer.packs import make_learner, random_pack
from tests.trainer.test_resume import recipe as sft_recipe
from tests.trainer.test_resume import weights
from trainer import sft
from trainer.commands import execute
from trainer.distributed import World, joined
from trainer.learner import Learner
from trainer.runs import Run

SPEC = "spec.json"
"""In the folder: an SFT run from files to files."""
SFT_BUDGETS = {"many": 32, "one": 1024}
"""Tokens per micro-batch: several to share, and one, which leaves all ranks but the first without any."""


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


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined(0) as world:
        train_sft(folder, world)
        execute(Run(RunSpec.from_json((folder / SPEC).read_text()), world))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
