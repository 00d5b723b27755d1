"""A causal language model: loading it, and the log-probabilities of a pack's trained tokens under it."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from trainer import attention
from trainer.head import head_logprobs
from trainer.packing import Pack
from trainer.prefixes import shared

logging.disable_progress_bar()  # bars of single files would break the one line of progress


def load_model(source: str | Path, dtype: torch.dtype | str = torch.float32, revision: str | None = None) -> Any:
    """The model of a checkpoint folder or hub id. Raises ValueError for a path that is not there or holds no model."""
    return _load(AutoModelForCausalLM, source, dtype=dtype, attn_implementation=attention.NAME, revision=revision)


def load_tokenizer(source: str | Path, revision: str | None = None) -> Any:
    """The tokenizer of a checkpoint folder or hub id."""
    return _load(AutoTokenizer, source, revision=revision)


def _load(loader: Any, source: str | Path, **options: Any) -> Any:
    if not Path(source).is_dir() and _looks_like_path(str(source)):
        raise ValueError(
            f"there is no folder {source}: give the folder of a checkpoint (with config.json), or a hub id"
        )
    try:
        return loader.from_pretrained(str(source), **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"{source} holds no model that can be loaded ({reason}): give a folder in Hugging Face layout, or a hub id "
            "that this machine can reach"
        ) from error


def _looks_like_path(source: str) -> bool:
    return source.startswith((".", "/", "~")) or source.count("/") != 1


PARTS = (("embed", "embedding"), ("lm_head", "head"), ("attn", "attention"), ("mlp", "mlp"))
"""Part of a parameter's name, and the part of the model that it belongs to. The first that fits counts."""


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """`parameters`, and `parameters_<part>` for every part of the model that has some; a shared weight counts once."""
    counts = {"parameters": 0}
    for name, parameter in model.named_parameters():
        part = next((part for mark, part in PARTS if mark in name), "other")
        for key in ("parameters", f"parameters_{part}"):
            counts[key] = counts.get(key, 0) + parameter.numel()
    return counts


def token_logprobs(
    model: Any, pack: Pack, temperature: float = 1.0, share_prefixes: bool = False
) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy of every trained token, in nats, both differentiable; zero elsewhere.

    Both have shape (T,) and are float32. With `share_prefixes`, what a sequence begins with as the one before it does is
    computed once. Logits exist only where a trained token is predicted, a tile at a time.
    """
    once = shared(pack) if share_prefixes else None
    kept_U = slice(None) if once is None else once.kept_U
    hidden_UH = model.base_model(
        input_ids=pack.tokens_T[kept_U][None],
        position_ids=pack.positions_T[kept_U][None],
        attention_mask=attention.no_dense_mask(pack.tokens_T.device),
        segments=attention.Segments(pack, once),
        use_cache=False,
    ).last_hidden_state[0]
    trained_S = pack.trained_positions_S
    before_S = trained_S - 1 if once is None else once.places_T[trained_S - 1]
    logprobs_S, entropy_S = head_logprobs(
        hidden_UH.index_select(0, before_S), _head_weight(model), pack.tokens_T[trained_S], temperature
    )
    blank_T = torch.zeros(pack.num_tokens, device=logprobs_S.device)
    return blank_T.index_copy(0, trained_S, logprobs_S), blank_T.index_copy(0, trained_S, entropy_S)


def _head_weight(model: Any) -> Tensor:
    head = model.get_output_embeddings()
    if getattr(head, "bias", None) is not None:
        raise ValueError(f"{type(model).__name__} has a bias in its output head, which the trainer does not support")
    weight: Tensor = head.weight
    return weight
