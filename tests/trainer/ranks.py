"""What one process or several ranks do alike, as a program: `... -m torch.distributed.run ... -m tests.trainer.ranks FOLDER`.

With the word `slow` after it, the long run alone, slowly enough to be killed.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from data_contracts.attempts import Attempt
from data_contracts.manifests import RunSpec
from rollout.groups import Job
from tests.trainer.packs import make_model, make_row, random_pack
from tests.trainer.test_resume import recipe as sft_recipe
from tests.trainer.test_rl import TASKS, Judged, Stop
from tests.trainer.test_rl import recipe as rl_recipe
from trainer import rl, sft
from trainer.aggregation import weights
from trainer.commands import execute
from trainer.distributed import World, joined
from trainer.learner import Learner
from trainer.lora import LoraRecipe, add_adapters
from trainer.optim import make_optimizer, moments
from trainer.packing import from_rows
from trainer.recipe import SftRecipe
from trainer.runs import Run
from trainer.sharding import Sharding, place, weights_of

SFT_BUDGETS = {"many": 32, "one": 1024}
"""Tokens per micro-batch: several to share, and one, which leaves all ranks but the first without any."""
RL_CHANGES = {"rl": {}, "anchored": {"kl_coefficient": 0.01, "top_entropy_share": 0.5, "recompute_logprobs": True}}
LONG = 8
"""Steps of the run that is killed."""
STARTED = ("killed", "grown")
"""Long runs that others may have begun: ranks that were killed, and one process."""


class Counted(Judged):
    """Notes in a file of its own rank how many attempts it was asked for, and how many forward passes they took. Ranks sample
    in batches of different size, so that none makes as many as another. Dies once when asked at `last`."""

    def __init__(self, learner: Learner, file: Path, last: str) -> None:
        super().__init__(learner)
        self.file, self.last, self.passes = file, last, 0
        self.engine.batch_size = 16 if learner.world.is_first else 3
        learner.model.register_forward_hook(self._count)

    def _count(self, *_: object) -> None:
        self.passes += 1

    def attempts(self, jobs: list[Job], moment: str) -> list[Attempt]:
        if moment > self.last:
            raise Stop
        before, sampled = self.passes, super().attempts(jobs, moment)
        with self.file.open("a") as file:
            file.write(f"{moment} {len(jobs)} {self.passes - before}\n")
        return sampled


def learner_in(
    world: World, sharding: Sharding, seed: int = 0, tied: bool = True, lora: LoraRecipe | None = None
) -> Learner:
    model = make_model(seed, tie_word_embeddings=tied)
    if lora is not None:
        add_adapters(model, lora, 0, "base")
    place(model, sharding, world)
    return Learner(model, make_optimizer(model, 1e-3, (0.9, 0.95), 0.01), world.device, 1.0, world)


def whole(learner: Learner) -> Tensor:
    """All weights in a row, on every rank."""
    kept = {id(w): w.full_tensor() if isinstance(w, DTensor) else w for w in weights_of(learner.model).values()}
    return torch.cat([w.detach().flatten() for w in kept.values()])


def held(learner: Learner) -> int:
    """Numbers that this rank keeps between steps: weights and moments."""
    kept = [t for w, state in moments(learner.optimizer).items() for t in (w, state["exp_avg"], state["exp_avg_sq"])]
    return sum((t.to_local() if isinstance(t, DTensor) else t).numel() for t in kept)


def settings(budget: int) -> SftRecipe:
    return sft_recipe(lr=1e-3, max_steps=5, tokens_per_microbatch=budget, eval_every=2, plateau_patience=50)


def train_sft(folder: Path, world: World, sharding: Sharding) -> None:
    """A few steps for each budget; then with a head of its own and activations computed twice; then of adapters."""
    for name, budget in SFT_BUDGETS.items():
        learner = learner_in(world, sharding)
        sft.train(learner, random_pack(17, seed=0), settings(budget), 7, folder / name, lambda step: step / 100)
        torch.save(whole(learner), folder / f"{name}-{world.rank}.pt")
    learner = learner_in(world, sharding, tied=False)
    learner.model.gradient_checkpointing_enable()
    sft.train(learner, random_pack(17, seed=0), settings(32), 7, folder / "untied", lambda step: step / 100)
    torch.save(whole(learner), folder / f"untied-{world.rank}.pt")
    learner = learner_in(world, sharding, lora=LoraRecipe(rank=4, alpha=8))
    sft.train(learner, random_pack(17, seed=0), settings(32), 7, folder / "adapted", lambda step: step / 100)
    reference_T = learner.reference_logprobs(random_pack(3, seed=1), 1.0)
    torch.save(torch.cat([whole(learner), reference_T]), folder / f"adapted-{world.rank}.pt")


def train_rl(folder: Path, world: World, sharding: Sharding) -> None:
    """One step, then another by fresh learners that resume."""
    for name, changes in RL_CHANGES.items():
        for seed, last in ((0, "step-00000"), (5, "step-00001")):
            learner = learner_in(world, sharding, seed)
            learner.reference = place(make_model(0), sharding, world).requires_grad_(False)
            source = Counted(learner, folder / f"asked-{name}-{world.rank}", last)
            try:
                recipe = rl_recipe(lr=1e-3, max_steps=2, **changes)
                rl.train(learner, source, TASKS, recipe, 3, folder / name)
            except Stop:
                continue
        torch.save(whole(learner), folder / f"{name}-{world.rank}.pt")


def take_odd_steps(folder: Path, world: World, sharding: Sharding) -> None:
    """A step whose second micro-batch (another rank's, if there is one) trains nothing; then one with an infinite weight,
    which only the last rank holds where weights are sharded."""
    learner = learner_in(world, sharding)
    rows = [make_row(n, list(range(1, 13)), [False] + [n == 0] * 11) for n in range(2)]
    batch = from_rows(rows)
    batch = replace(batch, weights_T=weights(settings(12).aggregation, batch.trained_T, batch.sequence_ids_T))
    figures = [sft.train_step(learner, batch, 1e-3, 12)]
    before = whole(learner)
    norm = weights_of(learner.model)["model.norm.weight"]
    with torch.no_grad():
        mine = norm.to_local() if isinstance(norm, DTensor) else norm
        if world.rank == world.size - 1 or mine is norm:
            mine[-1] = torch.inf
    broken = whole(learner)
    figures.append(sft.train_step(learner, batch, 1e-3, 12))
    unchanged = torch.equal(whole(learner), broken)
    torch.save((figures, before, unchanged, held(learner)), folder / f"odd-{world.rank}.pt")


def train_long(
    folder: Path, world: World, sharding: Sharding, accuracy: Callable[[int], float] = lambda step: 0.5
) -> None:
    """From wherever it stands."""
    learner = learner_in(world, sharding, seed=5 if (folder / "state").is_dir() else 0)
    recipe = sft_recipe(lr=1e-3, max_steps=LONG, eval_every=1, plateau_patience=50)
    sft.train(learner, random_pack(17, seed=0), recipe, 7, folder, accuracy)
    torch.save(whole(learner), folder.with_name(f"{folder.name}-{world.rank}.pt"))


def main(folder: Path, shardings: list[Sharding]) -> None:
    torch.set_num_threads(1)
    with joined(0) as world:
        for sharding in shardings:
            at = folder / sharding
            train_sft(at, world, sharding)
            train_rl(at, world, sharding)
            take_odd_steps(at, world, sharding)
            execute(Run(RunSpec.from_json((folder / f"{sharding}.json").read_text()), world))
            for name in ("straight", *(n for n in STARTED if (at / n).is_dir())):
                train_long(at / name, world, sharding)


def slow(folder: Path) -> None:
    with joined(0) as world:
        (folder / f"pid-{world.rank}").write_text(str(os.getpid()))
        train_long(folder / Sharding.FULL / "killed", world, Sharding.FULL, lambda step: time.sleep(0.3) or 0.5)


if __name__ == "__main__":
    if sys.argv[2:] == ["slow"]:
        slow(Path(sys.argv[1]))
    else:
        main(Path(sys.argv[1]), [Sharding.REPLICATE, Sharding.FULL])
