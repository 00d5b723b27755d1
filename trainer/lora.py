"""LoRA (arXiv 2106.09685): a pair of small matrices beside each frozen linear map; only they are trained.

The exported checkpoint is the merged model, which every reader understands, with the pair beside it in PEFT's layout.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor, nn

from data_contracts.record import Record

FOLDER = "adapter"
"""Subfolder of a checkpoint. Its adapter belongs to the checkpoint that training started from, not to the merged one."""
_MARK = "lora_"


class LoraRecipe(Record):
    """[sft.lora], [rl.lora]. Without dropout: a value that trained without noise is the one that was sampled.

    Example:
        LoraRecipe(rank=32, alpha=64)
    """

    rank: int = Field(ge=1)
    alpha: float = Field(gt=0)
    """What the pair adds is scaled by alpha / rank."""
    targets: tuple[str, ...] = ()
    """Last names of the linear maps that get a pair, e.g. q_proj; none: every one but the output head."""


class LoraLinear(nn.Linear):
    """y = W x + b + alpha / rank B A x with W and b frozen: what it stands for keeps its name in the model's state."""

    def __init__(self, frozen: nn.Linear, recipe: LoraRecipe, base: str, generator: torch.Generator) -> None:
        """A uniform in +-1 / sqrt(inputs) (Kaiming, as in PEFT), B zero: at first it adds nothing."""
        super().__init__(frozen.in_features, frozen.out_features, bias=frozen.bias is not None, device="meta")
        self.weight, self.bias = frozen.weight, frozen.bias
        first_RI = torch.empty(recipe.rank, frozen.in_features).uniform_(-1, 1, generator=generator)
        self.lora_a_RI = nn.Parameter(first_RI.div_(frozen.in_features**0.5).to(frozen.weight.device))
        self.lora_b_OR = nn.Parameter(torch.zeros(frozen.out_features, recipe.rank, device=frozen.weight.device))
        self.alpha, self.base, self.adapted = recipe.alpha, base, True

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return self.alpha / len(self.lora_a_RI)

    def forward(self, input: Tensor) -> Tensor:
        """See the class."""
        frozen = super().forward(input)
        if not self.adapted:
            return frozen
        return frozen + F.linear(F.linear(input, self.lora_a_RI), self.lora_b_OR) * self.scale

    @torch.no_grad()
    def merged(self, weight_OI: Tensor, a_RI: Tensor, b_OR: Tensor) -> Tensor:
        """W + alpha / rank B A, (outputs, inputs), of weights that may be shared over ranks inside the model."""
        return weight_OI + (b_OR @ a_RI).mul_(self.scale).to(weight_OI.dtype)


def add_adapters(model: Any, recipe: LoraRecipe, seed: int, base: str) -> None:
    """Freeze the model and give it adapters, a function of (shapes, recipe, seed). `base` identifies the frozen weights.

    Raises ValueError for targets that the model does not have.
    """
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, linear in target_linears(model, recipe).items():
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, LoraLinear(linear, recipe, base, generator))


def target_linears(model: Any, recipe: LoraRecipe) -> dict[str, nn.Linear]:
    """The linear maps that the recipe names, by full name. Raises ValueError for a target that does not exist."""
    head = model.get_output_embeddings()
    found = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) and m is not head}
    there = {_last(name) for name in found}
    missing = sorted(set(recipe.targets) - there)
    if missing or not found:
        raise ValueError(
            f"lora.targets {', '.join(missing) or '(all)'}: the model has no such linear map; it has "
            f"{', '.join(sorted(there)) or 'none'}"
        )
    return {name: linear for name, linear in found.items() if _last(name) in (recipe.targets or there)}


def num_adapter_parameters(model: Any, recipe: LoraRecipe) -> int:
    """What `add_adapters` would add."""
    linears = target_linears(model, recipe).values()
    return sum(recipe.rank * (linear.in_features + linear.out_features) for linear in linears)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _adapters(model: Any) -> Iterator[tuple[str, LoraLinear]]:
    return ((name, module) for name, module in model.named_modules() if isinstance(module, LoraLinear))


def base_of(model: Any) -> str | None:
    """What identifies the frozen weights; None without adapters."""
    return next((module.base for _, module in _adapters(model)), None)


@contextmanager
def adapters_off(model: Any) -> Iterator[None]:
    """Inside, the model is the one that training started from."""
    adapters = [module for _, module in _adapters(model)]
    for module in adapters:
        module.adapted = False
    try:
        yield
    finally:
        for module in adapters:
            module.adapted = True


def check_base(model: Any, saved: str | None) -> None:
    """Raises ValueError where a saved state belongs to other frozen weights than the model's (None: to none)."""
    if saved != base_of(model):
        raise ValueError(
            f"the saved state is over the base {saved}, but this run trains over {base_of(model)}: recipe or checkpoint "
            "differ; take another output folder"
        )


def merged_state(model: Any, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a plain model that computes the same, from the whole weights of one with adapters."""
    merged = {f"{name}.weight": module.merged(*_of(name, weights)) for name, module in _adapters(model)}
    return {name: tensor for name, tensor in weights.items() if not _last(name).startswith(_MARK)} | merged


def _of(name: str, weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Frozen weight, A and B of the map of that name."""
    return weights[f"{name}.weight"], weights[f"{name}.lora_a_RI"], weights[f"{name}.lora_b_OR"]


def save_adapter(model: Any, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write the adapters as PEFT does, adapter_config.json and adapter_model.safetensors, from the model's whole weights."""
    adapters = dict(_adapters(model))
    one = next(iter(adapters.values()))
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": len(one.lora_a_RI),
        "lora_alpha": one.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({_last(name) for name in adapters}),
        "base_model_name_or_path": None,
        "inference_mode": True,
    }
    tensors = {}
    for name in adapters:
        _, a_RI, b_OR = _of(name, weights)
        tensors[f"base_model.model.{name}.lora_A.weight"] = a_RI.contiguous()
        tensors[f"base_model.model.{name}.lora_B.weight"] = b_OR.contiguous()
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
