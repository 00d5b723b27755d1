"""Checkpoints of two sorts: the state of a run that can go on exactly, and the finished model for everybody else.

A state is a folder: `position.json`, `tensors/` (weights and optimizer, sharded or not, in torch's distributed format) and
`random-RRRRR.pt` for each rank R. It appears whole or not at all.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_contracts.manifests import CheckpointManifest, Parent
from data_contracts.storage import MANIFEST, SCRATCH_PREFIX, file_entry, room, scratch_folder, settle, write_bytes
from rollout.rendering import tokenizer_id
from trainer.distributed import ALONE, World
from trainer.lora import FOLDER, base_of, check_base, merged_state, save_adapter
from trainer.optim import moments
from trainer.random_state import random_bytes, set_random_bytes
from trainer.sharding import weights_of
from trainer.tensor_store import read_tensors, write_tensors

TENSORS = "tensors"
POSITION = "position.json"


@dataclass
class Position:
    """Where a run stands, besides weights, optimizer and random numbers. A rollout batch that is not used up yet is on
    disk, in the run's `attempts` folder, and is read again instead of being sampled again."""

    step: int = 0
    """Steps done."""
    drawn: int = 0
    """Items taken from the seeded stream of rows or tasks."""
    policy_version: int = 0
    """Optimizer steps that changed the weights."""
    nonfinite_steps: int = 0
    cpu_seconds: float = 0.0
    """Process time spent on training, over all resumed processes."""
    cooldown_start: int | None = None
    accuracies: list[tuple[int, float]] = field(default_factory=list)
    """(step, held-out accuracy), in order."""


def _state_folder(run: Path, step: int) -> Path:
    return run / "state" / f"step-{step:08d}"


def _states(run: Path) -> list[Path]:
    return sorted((run / "state").glob("step-*"))


def save_state(
    run: Path, position: Position, model: Any, optimizer: torch.optim.Optimizer, keep: int, world: World = ALONE
) -> None:
    """Save everything that a resumed run needs, atomically; older states beyond `keep` are removed afterwards. Of a model with
    adapters, these alone and what they belong to.

    The ranks call it together, each for its share; none returns before all is there."""
    target = _state_folder(run, position.step)
    with _shared_scratch(target.parent, world) as scratch:
        write_tensors(scratch / TENSORS, _tensors(model, optimizer), world.size == 1)
        write_bytes(_random_file(scratch, world.rank), random_bytes())
        world.barrier()
        if world.is_first:
            write_bytes(scratch / POSITION, json.dumps({"base": base_of(model), **asdict(position)}).encode())
            settle(scratch, target)
            for old in _states(run)[:-keep]:
                shutil.rmtree(old)
    world.barrier()


@contextmanager
def _shared_scratch(base: Path, world: World) -> Iterator[Path]:
    """One scratch folder for all ranks. A full disk is one clear message on each."""
    if world.is_first:
        with scratch_folder(base) as scratch:
            yield world.first(scratch)
    else:
        with room(base):
            yield world.first(base)


def _tensors(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What training changes: weights under `model.NAME` and moments under `optimizer.NAME.KEY`, a shared weight once."""
    names = {id(weight): (name, weight) for name, weight in reversed(weights_of(model).items()) if weight.requires_grad}
    state = {f"model.{name}": weight.detach() for name, weight in names.values()}
    for weight, values in moments(optimizer).items():
        state |= {f"optimizer.{names[id(weight)][0]}.{key}": value for key, value in values.items()}
    return state


def _random_file(state: Path, rank: int) -> Path:
    return state / f"random-{rank:05d}.pt"


def restore_state(run: Path, model: Any, optimizer: torch.optim.Optimizer, world: World = ALONE) -> Position:
    """Load the newest state into model and optimizer; a fresh Position where there is none.

    Raises ValueError where the ranks of `world` find different states (they would make different collectives), and for
    the state of another model or base.
    """
    found = world.everyone([path.name for path in _states(run)[-1:]])
    if found != found[:1] * len(found):
        raise ValueError(
            f"the ranks see different states in {run}, by rank {found}: give a folder that all of them share"
        )
    if world.is_first:
        for left in (run / "state").glob(f"{SCRATCH_PREFIX}*"):  # by a run that was killed while it saved
            shutil.rmtree(left)
    if found == [[]] * world.size:
        return Position()
    newest = _states(run)[-1]
    kept = json.loads((newest / POSITION).read_text())
    check_base(model, kept.pop("base"))
    read_tensors(newest / TENSORS, _tensors(model, optimizer), world.size == 1)
    _restore_random(newest, world)
    position = Position(**kept)
    position.accuracies = [(step, accuracy) for step, accuracy in position.accuracies]
    return position


def _restore_random(state: Path, world: World) -> None:
    """Each rank's random numbers; with another number of ranks than saved, those of rank modulo that number."""
    num_saved = len(list(state.glob("random-*.pt")))
    if num_saved != world.size and world.is_first:
        print(
            f"{state} was saved by {num_saved} process(es) and goes on with {world.size}: numbers change by rounding only "
            "(samples and batches are seeded by themselves)",
            file=sys.stderr,
        )
    set_random_bytes(_random_file(state, world.rank % num_saved).read_bytes())


def export_checkpoint(
    target: Path,
    model: Any,
    tokenizer: Any,
    weights: Mapping[str, Tensor],
    *,
    name: str,
    method: str,
    parents: tuple[Parent, ...],
    recipe: str,
    num_steps: int,
) -> CheckpointManifest:
    """Write a model folder in Hugging Face layout with its manifest, atomically; returns the manifest. Adapters are merged,
    and stand in a subfolder as well.

    weights: those of the model, whole, by name. A folder that is there already is replaced.
    """
    with scratch_folder(target.parent) as scratch:
        model.save_pretrained(scratch, state_dict=merged_state(model, weights))
        if base_of(model) is not None:
            save_adapter(model, weights, scratch / FOLDER)
        tokenizer.save_pretrained(scratch)
        files = tuple(file_entry(scratch, path) for path in sorted(scratch.rglob("*")) if path.is_file())
        manifest = CheckpointManifest.create(
            name=name,
            method=method,
            files=files,
            tokenizer_id=tokenizer_id(tokenizer),
            parents=parents,
            recipe=recipe,
            num_steps=num_steps,
        )
        (scratch / MANIFEST).write_text(manifest.canonical())
        if target.exists():
            shutil.rmtree(target)
        settle(scratch, target)
    return manifest
