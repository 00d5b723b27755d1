"""The first checkpoint: an embedded student made from nothing, or a pretrained model brought into the same layout."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from rollout.rendering.family import END_OF_TEXT, IM_END, IM_START, MARKERS
from trainer.recipe import InitRecipe

SPECIAL = (END_OF_TEXT, IM_START, IM_END)
"""Skipped by decoders that skip special tokens; the other control tokens are shown, as in Qwen3."""
_MARKER = re.compile("|".join(map(re.escape, MARKERS)))


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, min_frequency: int, max_positions: int, word_boundaries: bool = False
) -> Any:
    """Byte-level BPE over `texts`, with Qwen3's control tokens after the learned ones; control tokens in the texts part them.

    Line ends and single digits stand alone: numbers are read digit by digit. Without `word_boundaries` nothing else cuts the
    text: frequent phrases become one token, which keeps sequences short. With them, words are cut as in GPT-2.
    Raises ValueError without texts.
    """
    texts = list(texts)
    if not texts:
        raise ValueError(
            "there is no text to train a tokenizer on: give --attempts a dataset with at least one attempt"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\n"), "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=word_boundaries),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(MARKERS),
        min_frequency=min_frequency,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_parts(texts), trainer)
    for marker in MARKERS:
        tokenizer.add_tokens([AddedToken(marker, special=marker in SPECIAL, normalized=False)])
    return _wrapped(tokenizer, max_positions)


def _parts(texts: Iterable[str]) -> Iterator[str]:
    return (part for text in texts for part in _MARKER.split(text) if part)


def _wrapped(tokenizer: Tokenizer, max_positions: int) -> Any:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=IM_END,
        pad_token=END_OF_TEXT,
        model_max_length=max_positions,
        clean_up_tokenization_spaces=False,
    )


def random_model(recipe: InitRecipe, tokenizer: Any, seed: int) -> Any:
    """A Qwen3 model with random weights, float32, tied embeddings; a function of (recipe, tokenizer, seed)."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden_size,
        num_hidden_layers=recipe.num_layers,
        num_attention_heads=recipe.num_heads,
        num_key_value_heads=recipe.num_kv_heads,
        head_dim=recipe.head_dim,
        intermediate_size=recipe.intermediate_size,
        max_position_embeddings=recipe.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": recipe.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(config).float()
