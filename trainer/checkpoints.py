"""Checkpoints of two sorts: the state of a run that can go on exactly, and the finished model for everybody else."""

import random
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_contracts.manifests import CheckpointManifest, Parent
from data_contracts.storage import MANIFEST, file_entry, scratch_folder, settle
from rollout.rendering import tokenizer_id
from trainer.distributed import ALONE, World

STATE_FILE = "state.pt"


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


def save_state(run: Path, position: Position, model: Any, optimizer: torch.optim.Optimizer, keep: int) -> None:
    """Save everything that a resumed run needs, atomically; older states beyond `keep` are removed afterwards."""
    state = {
        "position": asdict(position),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": _random_state(),
    }
    target = _state_folder(run, position.step)
    with scratch_folder(target.parent) as scratch:
        torch.save(state, scratch / STATE_FILE)
        settle(scratch, target)
    for old in _states(run)[:-keep]:
        shutil.rmtree(old)


def restore_state(run: Path, model: Any, optimizer: torch.optim.Optimizer, world: World = ALONE) -> Position:
    """Load the newest state into model and optimizer; a fresh Position where there is none.

    Raises ValueError where the ranks of `world` find different states: they would make different collectives.
    """
    found = world.everyone([path.name for path in _states(run)[-1:]])
    if found != found[:1] * len(found):
        raise ValueError(
            f"the ranks see different states in {run}, by rank {found}: give a folder that all of them share"
        )
    states = _states(run)
    if not states:
        return Position()
    device = next(model.parameters()).device
    state = torch.load(states[-1] / STATE_FILE, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    _set_random_state(state["random"])
    position = Position(**state["position"])
    position.accuracies = [(step, accuracy) for step, accuracy in position.accuracies]
    return position


def _random_state() -> dict[str, Any]:
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, np.asarray(keys).tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],
    }


def _set_random_state(state: dict[str, Any]) -> None:
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"]:
        torch.cuda.set_rng_state(state["cuda"][0].cpu())


def export_checkpoint(
    target: Path,
    model: Any,
    tokenizer: Any,
    *,
    name: str,
    method: str,
    parents: tuple[Parent, ...],
    recipe: str,
    num_steps: int,
) -> CheckpointManifest:
    """Write a model folder in Hugging Face layout with its manifest, atomically; returns the manifest.

    A folder that is there already is replaced.
    """
    with scratch_folder(target.parent) as scratch:
        model.save_pretrained(scratch)
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
