"""Whether a machine has the memory that a training is going to need: asked before a model is loaded."""

import logging
import sys
from pathlib import Path

import torch

from trainer.distributed import World
from trainer.memory import Memory, layout_of, memory
from trainer.recipe import TrainRecipe
from trainer.shape import Shape

LOG = logging.getLogger(__name__)
GIB = 2**30
MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def check_room(checkpoint: str, recipe: TrainRecipe, world: World) -> None:
    """Say what a rank will take. Raises ValueError where not even weights, gradients and optimizer have room; warns where
    the whole estimate has none."""
    on_gpu = world.device.type == "cuda"
    shape = Shape.of_checkpoint(checkpoint)
    parts = memory(shape, recipe, layout_of(shape, recipe, world.size, on_gpu))
    free = free_bytes(world)
    warning = shortage(parts, free)
    if world.is_first:
        says = f"memory: about {parts.peak / GIB:.2f} GiB at the peak of an update, {free / GIB:.2f} GiB are free"
        print(says, file=sys.stderr, flush=True)
        if warning is not None:
            LOG.warning(warning)


def shortage(parts: Memory, free: int) -> str | None:
    """What to say of too little memory on a rank; None where it is enough. Raises ValueError for a training that cannot
    begin."""
    if parts.standing > free:
        raise ValueError(
            f"weights, gradients and optimizer take {parts.standing / GIB:.2f} GiB on every rank, but {free / GIB:.2f} GiB are "
            "free: set sharding = 'full' on several ranks, take a smaller model, or free memory"
        )
    if parts.peak > free:
        return (
            f"an update may take {parts.peak / GIB:.2f} GiB, but {free / GIB:.2f} GiB are free: set "
            "gradient_checkpointing = true, or lower tokens_per_microbatch, before it runs out"
        )
    return None


def free_bytes(world: World) -> int:
    """What a rank may take now: of its GPU, or its part of this machine's memory, within the limit of its container."""
    if world.device.type == "cuda":
        return torch.cuda.mem_get_info(world.device)[0]
    lines = (line.split() for line in MEMINFO.read_text().splitlines())
    free = next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")
    return min(free, _left_in_container(free)) // world.size


def _left_in_container(otherwise: int) -> int:
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if not limit.is_file() or limit.read_text().strip() == "max":
        return otherwise
    return max(int(limit.read_text()) - int(used.read_text()), 0)
