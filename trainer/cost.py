"""How long a training takes and what that costs: floating-point operations over an assumed or measured rate. Pure, but for
`probed_flops`."""

import time
from dataclasses import dataclass
from enum import StrEnum

import torch

from trainer.recipe import RlRecipe, TrainRecipe
from trainer.shape import Shape

PROBE_SIZE, PROBE_S = 512, 0.3


class Gpu(StrEnum):
    """A card whose data sheet is known."""

    A100 = "A100"
    H100 = "H100"
    H200 = "H200"


PEAK_FLOPS = {Gpu.A100: 312e12, Gpu.H100: 989e12, Gpu.H200: 989e12}
"""Dense bfloat16 operations a second, from NVIDIA's data sheets (SXM)."""
BANDWIDTH = {Gpu.A100: 2.0e12, Gpu.H100: 3.35e12, Gpu.H200: 4.8e12}
"""Bytes a second of the memory, from the same."""
FORWARD, BACKWARD = 2, 4
"""Operations a parameter and token (a multiply and an add, each; the backward pass twice that)."""


@dataclass(frozen=True)
class Assumption:
    """What time is reckoned with.

    Example, 30 % of eight H200 at 3.50 an hour each:
        Assumption(flops=989e12, mfu=0.3, num_devices=8, price_per_hour=3.5)
    """

    flops: float
    """Of one device, a second."""
    mfu: float
    """Share of it that training reaches."""
    num_devices: int = 1
    price_per_hour: float | None = None
    """Of one device."""

    def __post_init__(self) -> None:
        if not 0 < self.mfu <= 1:
            raise ValueError(f"mfu {self.mfu} is no share: give one above 0 and at most 1, e.g. 0.3")

    def seconds(self, operations: float) -> float:
        """Time of the devices together."""
        return operations / (self.flops * self.mfu * self.num_devices)

    def price(self, seconds: float) -> float | None:
        """What that time costs; None without a price."""
        return None if self.price_per_hour is None else seconds / 3600 * self.num_devices * self.price_per_hour


def operations_per_token(shape: Shape, recipe: TrainRecipe) -> int:
    """6 N, or 8 N with gradient checkpointing (the forward pass twice); 2 N more for each further look that RL takes: at
    old log-probabilities or entropies, and at a reference. N: all parameters. Attention's quadratic part is left out."""
    looks = 0
    if isinstance(recipe, RlRecipe):
        looks = int(recipe.looks_first) + int(recipe.kl_coefficient > 0)
    passes = FORWARD + BACKWARD + FORWARD * recipe.gradient_checkpointing + FORWARD * looks
    return passes * shape.num_parameters


def sampling_seconds(
    weight_bytes: float, num_tokens: float, batch_size: int, bandwidth: float, num_devices: int
) -> float:
    """Time to sample, by the memory's bandwidth alone: each step reads all weights once for `batch_size` tokens. A lower
    bound: caches, prompts, tools and rows that end early come on top."""
    return num_tokens / batch_size * weight_bytes / bandwidth / num_devices


def probed_flops(threads: int) -> float:
    """Float32 operations a second of this machine's CPU now, by matrix products for about 0.3 s of wall time."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    a = torch.ones(PROBE_SIZE, PROBE_SIZE)
    a @ a  # the first one sets things up
    start, products = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < PROBE_S:
        a @ a
        products += 1
    torch.set_num_threads(before)
    return 2 * PROBE_SIZE**3 * products / spent
