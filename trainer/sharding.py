"""Where a policy's weights live: whole on every rank, or a share of every weight on each (FSDP2: torch's `fully_shard`)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from transformers.modeling_layers import GradientCheckpointingLayer

from trainer.distributed import World

WITHIN = "within_forward"
T = TypeVar("T")


class Sharding(StrEnum):
    """How the ranks of a run hold weights, gradients and optimizer."""

    REPLICATE = "replicate"
    """Each rank holds them whole: fast, and 16 bytes a parameter on every GPU."""
    FULL = "full"
    """Each rank holds its share of every weight and borrows the others' layer by layer: 16 bytes a parameter over all GPUs
    together."""


def place(model: Any, sharding: Sharding, world: World) -> Any:
    """The model on its device, sharded in place over the ranks where that is asked for and they have found each other (a
    process alone has nobody to share with).

    Raises ValueError for a model whose decoder layers cannot be found.
    """
    if sharding is Sharding.REPLICATE or not dist.is_initialized():
        return model.to(world.device)
    layers = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no decoder layers to shard by: set sharding = 'replicate'")
    mesh, precision = init_device_mesh(world.device.type, (world.size,)), precision_on(world.device)
    for layer in layers:
        fully_shard(layer, mesh=mesh, mp_policy=precision, reshard_after_forward=True)
    # Embedding, head and last norm stay whole from forward to backward, which needs them at once.
    fully_shard(model, mesh=mesh, mp_policy=precision, reshard_after_forward=False)
    for part in _parts(model):
        part.set_gradient_divide_factor(
            1.0
        )  # token weights are shares of the whole batch already: gradients are summed
        part.set_force_sum_reduction_for_comms(True)  # gloo knows no other
    setattr(model, WITHIN, lambda work: work())
    register_fsdp_forward_method(model, WITHIN)
    return model


def precision_on(device: torch.device) -> MixedPrecisionPolicy:
    """bfloat16 weights to compute with on CUDA, float32 where they are kept and where gradients are summed; on a CPU float32
    throughout. Inputs are left as they are: autocast casts what has to be."""
    compute = torch.bfloat16 if device.type == "cuda" else None
    return MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=torch.float32, cast_forward_inputs=False)


def _parts(model: nn.Module) -> list[FSDPModule]:
    return [cast(FSDPModule, m) for m in model.modules() if isinstance(m, FSDPModule)]


def within_forward(model: nn.Module, work: Callable[[], T]) -> T:
    """What `work` returns, run as one forward pass of the model: weights that it reads by itself (the head's) are whole."""
    if not isinstance(model, FSDPModule):
        return work()
    run: Callable[[Callable[[], T]], T] = getattr(model, WITHIN)
    return run(work)


@contextmanager
def gathered(model: Any) -> Iterator[None]:
    """Every weight whole on every rank meanwhile, so that forward passes talk to nobody and each rank may make any number.

    All ranks enter and leave together. Without gradients only."""
    for part in _parts(model):
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in _parts(model):
            part.set_reshard_after_forward(part is not model, recurse=False)
            part.reshard()


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Every weight by name, as this rank keeps it between steps: a DTensor where sharded. A shared one has several names."""
    found: dict[str, Tensor] = model.state_dict(keep_vars=True)
    return found


@torch.no_grad()
def whole_weights(model: nn.Module, world: World) -> dict[str, Tensor]:
    """Every weight by name, whole and on the CPU, on the first rank; nothing on the others. Shared ones stay shared.

    The ranks call it together; one weight at a time is whole on the device."""
    whole: dict[int, Tensor] = {}
    names = weights_of(model)
    for weight in names.values():
        if id(weight) not in whole:
            full = weight.full_tensor() if isinstance(weight, DTensor) else weight
            whole[id(weight)] = full.detach().cpu() if world.is_first else full.new_empty(0)
    return {name: whole[id(weight)] for name, weight in names.items()} if world.is_first else {}
