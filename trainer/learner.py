"""A model with its optimizer: what both loops do to it."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from trainer.distributed import ALONE, World
from trainer.lora import adapters_off, base_of
from trainer.model import token_logprobs
from trainer.optim import set_lr
from trainer.packing import Pack
from trainer.sharding import within_forward


@dataclass
class Learner:
    """Model, optimizer, the device that they live on, and the ranks that hold the same."""

    model: Any
    optimizer: torch.optim.Optimizer
    device: torch.device
    grad_clip: float
    world: World = ALONE
    reference: Any = None
    """A frozen policy that the KL divergence is taken from; None: the model without its adapters."""
    share_prefixes: bool = False
    """Compute once what sequences of a pack begin with alike."""

    def logprobs(self, pack: Pack, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """`token_logprobs` of a pack that is on the device; bfloat16 inside on CUDA."""
        with self._precision():
            return within_forward(
                self.model, lambda: token_logprobs(self.model, pack, temperature, self.share_prefixes)
            )

    def reference_logprobs(self, pack: Pack, temperature: float) -> Tensor:
        """The reference policy's log-probabilities, without gradient."""
        assert self.reference is not None or base_of(self.model) is not None
        model = self.model if self.reference is None else self.reference
        with torch.no_grad(), self._precision(), adapters_off(model):
            return within_forward(model, lambda: token_logprobs(model, pack, temperature, self.share_prefixes))[0]

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()

    def apply(self, lr: float) -> tuple[float, bool]:
        """Clip the accumulated gradient, step, and clear it. Returns (norm before clipping, whether it was finite).

        A gradient that is not finite changes nothing: neither weights nor moments.
        """
        params = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(params, self.grad_clip)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm  # of all ranks' shares: all decide alike
        finite = bool(torch.isfinite(norm))
        if finite:
            set_lr(self.optimizer, lr)
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(norm), finite
