"""Small real models and tokenizers that tests make for themselves."""

import random
from functools import lru_cache
from typing import Any

from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task, TaskLimits, VerifierRef
from data_contracts.tools import ToolSpec

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKERS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
# The split rule published with the Qwen2.5 and Qwen3 tokenizers.
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXTS = (
    "system\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n",
    'user\nWhat is 34 plus 57? {"name": "python", "arguments": {"code": "print(34+57)"}}\n',
    "assistant\nThe answer is \\boxed{91}. I add.\n\n\nThat failed. Error: unknown tool\n",
)


@lru_cache
def qwen_tokenizer() -> Any:
    """A small BPE with Qwen's split rule, control tokens and markers."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    )
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in CONTROL])
    backend.add_tokens([AddedToken(text, special=False, normalized=False) for text in MARKERS])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def qwen_model(seed: int = 0, **changes: Any) -> Any:
    """A random Qwen3 model of two layers over `qwen_tokenizer`, float32, eval mode."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    fields: dict[str, Any] = {
        "vocab_size": len(qwen_tokenizer()),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
        "pad_token_id": qwen_tokenizer().pad_token_id,
        "eos_token_id": qwen_tokenizer().eos_token_id,
        "bos_token_id": None,
    }
    return Qwen3ForCausalLM(Qwen3Config(**(fields | changes))).eval()


PYTHON = ToolSpec(
    name="python",
    description="Run Python.",
    parameters='{"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}',
)


def make_task(text: str = "What is 34 plus 57?", answer: str | None = "91", **changes: Any) -> Task:
    """A task with the Python tool."""
    fields: dict[str, Any] = {
        "messages": (Message(role=Role.USER, content=text),),
        "tools": (PYTHON,),
        "verifier": VerifierRef(name="math", reference=answer) if answer else None,
        "limits": TaskLimits(max_turns=4, max_calls=3, max_tokens=600, max_result_tokens=48),
        "source": "test",
        "source_id": f"{random.Random(text).random()}",
        "domain": "sums",
        "licence": "Apache-2.0",
        "split": Split.TRAIN,
    }
    return Task.create(**(fields | changes))
