"""The sizes of a decoder that memory and time follow from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config, Qwen3Config

from trainer.lora import LoraRecipe, num_adapter_parameters
from trainer.recipe import SCRATCH, InitRecipe


@dataclass(frozen=True)
class Shape:
    """A decoder with grouped attention and a gated MLP.

    Example, Qwen3-0.6B:
        Shape(596_049_920, 28, 1024, 16, 8, 128, 3072, 151_936)
    """

    num_parameters: int
    """A tied embedding counts once."""
    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    vocabulary: int
    config: Any = field(default=None, compare=False, repr=False)

    def adapter_parameters(self, lora: LoraRecipe) -> int:
        """Trained ones of a model with adapters."""
        with torch.device("meta"):
            return num_adapter_parameters(AutoModelForCausalLM.from_config(self.config), lora)

    @classmethod
    def of_config(cls, config: Any) -> Self:
        """From a configuration of transformers; no weight is made."""
        with torch.device("meta"):
            num_parameters = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
        return cls(
            num_parameters=num_parameters,
            num_layers=config.num_hidden_layers,
            hidden_size=config.hidden_size,
            num_heads=config.num_attention_heads,
            num_kv_heads=config.num_key_value_heads,
            head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            vocabulary=config.vocab_size,
            config=config,
        )

    @classmethod
    def of_checkpoint(cls, folder: str) -> Self:
        """From the config.json of a checkpoint."""
        return cls.of_config(AutoConfig.from_pretrained(folder))


def _qwen3(hidden: int, layers: int, heads: int, intermediate: int) -> Qwen3Config:
    return Qwen3Config(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=8, head_dim=128,
        intermediate_size=intermediate, vocab_size=151_936, tie_word_embeddings=True,
    )  # fmt: skip


def _qwen2_5_7b() -> Qwen2Config:
    return Qwen2Config(
        hidden_size=3584, num_hidden_layers=28, num_attention_heads=28, num_key_value_heads=4,
        intermediate_size=18_944, vocab_size=152_064, tie_word_embeddings=False,
    )  # fmt: skip


def published_config(model: str) -> Any | None:
    """The configuration that was published with a model of our recipes, so that a dry run needs no hub; None for others."""
    name = model.rsplit("/", 1)[-1]
    if name.startswith("Qwen3-0.6B"):
        return _qwen3(1024, 28, 16, 3072)
    if name.startswith("Qwen3-4B"):
        return _qwen3(2560, 36, 32, 9728)
    return _qwen2_5_7b() if name.startswith("Qwen2.5-7B") else None


def shape_of_init(table: Mapping[str, Any]) -> Shape | None:
    """The student of a recipe's [init]; None where only the hub could say."""
    init = InitRecipe.model_validate({key: value for key, value in table.items() if key != "seed"})
    if init.model != SCRATCH:
        config = published_config(init.model)
        return None if config is None else Shape.of_config(config)
    config = Qwen3Config(
        hidden_size=init.hidden_size, num_hidden_layers=init.num_layers, num_attention_heads=init.num_heads,
        num_key_value_heads=init.num_kv_heads, head_dim=init.head_dim, intermediate_size=init.intermediate_size,
        vocab_size=init.vocab_size, tie_word_embeddings=True,
    )  # fmt: skip
    return Shape.of_config(config)
