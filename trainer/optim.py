"""AdamW and learning-rate schedules."""

import math
from enum import StrEnum

import torch
from torch import Tensor, nn


class Schedule(StrEnum):
    """Shape of the learning rate after its warm-up."""

    CONSTANT = "constant"
    COSINE = "cosine"
    """Half a cosine down to `min_lr_ratio` at the last step."""
    WSD = "wsd"
    """Warm-up, stable, then a linear cooldown to `min_lr_ratio` (arXiv 2405.18392)."""


def make_optimizer(
    model: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW; matrices decay, vectors (norms, biases) do not."""
    params = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in params if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)


def moments(optimizer: torch.optim.Optimizer) -> dict[nn.Parameter, dict[str, Tensor]]:
    """AdamW's state of every parameter, in place; of one that made no step yet, what it would start from."""
    found: dict[nn.Parameter, dict[str, Tensor]] = {}
    for p in (p for group in optimizer.param_groups for p in group["params"]):
        if not optimizer.state[p]:
            zeros = {key: torch.zeros_like(p) for key in ("exp_avg", "exp_avg_sq")}
            optimizer.state[p] = {"step": torch.zeros((), device=p.device), **zeros}
        found[p] = optimizer.state[p]
    return found


def warmup_factor(step: int, warmup_steps: int) -> float:
    """Linear from 1 / warmup at step 0 to 1."""
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


def cosine_factor(step: int, total_steps: int, min_ratio: float) -> float:
    """Half a cosine from 1 at step 0 to `min_ratio` at `total_steps`."""
    return min_ratio + (1 - min_ratio) * (1 + math.cos(math.pi * min(step / total_steps, 1.0))) / 2


def cooldown_factor(step: int, start: int | None, num_steps: int, min_ratio: float) -> float:
    """1 before `start` (None: not yet known), then linear to `min_ratio` after `num_steps` steps."""
    if start is None or step < start or num_steps == 0:
        return 1.0
    return 1 - (1 - min_ratio) * min((step - start + 1) / (num_steps + 1), 1.0)


def lr_factor(
    schedule: Schedule,
    step: int,
    *,
    warmup_steps: int,
    total_steps: int,
    cooldown_start: int | None = None,
    cooldown_steps: int = 0,
    min_ratio: float = 0.0,
) -> float:
    """Factor of the peak learning rate at `step` (from 0)."""
    warm = warmup_factor(step, warmup_steps)
    if schedule is Schedule.COSINE:
        after = max(step - warmup_steps, 0)
        return warm * cosine_factor(after, max(total_steps - warmup_steps, 1), min_ratio)
    if schedule is Schedule.WSD:
        return warm * cooldown_factor(step, cooldown_start, cooldown_steps, min_ratio)
    return warm


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = lr
