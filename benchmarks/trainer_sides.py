"""What benchmarks/trainer.py measures: the same step by this trainer and by TRL, on the same rows and weights."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen3Config, Qwen3ForCausalLM

from tests.tiny import qwen_tokenizer
from trainer import sft
from trainer.advantages import group_advantages
from trainer.aggregation import token_mean_weights
from trainer.attention import NAME
from trainer.head import head_logprobs
from trainer.learner import Learner
from trainer.losses import PolicyLoss
from trainer.norms import speed_up_norms
from trainer.optim import make_optimizer
from trainer.packing import Pack
from trainer.prefixes import split_together
from trainer.surrogate import Clip, Ratio, Surrogate

CLIP = Clip(low=0.2, high=0.28, dual=1e6)
LOSS = PolicyLoss(Surrogate.CLIPPED, Ratio.TOKEN, CLIP)
TEMPERATURE, LR = 0.9, 1e-5
WRITTEN, RESULT = 48, 24
"""Tokens that the model writes, then those of a tool's result, in turns: two thirds of a completion are trained."""
TRL_CHUNK = 32768
"""trl.trainer.utils._CHUNKED_LOGPROB_CHUNK_SIZE of TRL 1.16."""

OURS = ("ours", "ours-shared")
"""Without and with shared prefixes."""
Step = Callable[[], tuple[float, float]]
"""One step; returns what must agree between sides: loss and norm of the gradient."""
Made = tuple[Step, list[Tensor]]
"""A step, and the tensors that it leaves gradients of."""


@dataclass(frozen=True)
class Case:
    """What is measured. Lengths are those of a prompt and of a completion: log-normal with these medians."""

    part: str
    side: str
    device: str
    tokens: int
    """Of the head alone."""
    vocab: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    groups: int
    group_size: int
    prompt: int
    completion: int
    sigma: float
    longest: int
    """Completions are cut here."""
    budget: int
    """Tokens of one of our micro-batches."""
    trl_batch: int
    """Rows of one of TRL's."""
    seed: int
    threads: int


@dataclass(frozen=True)
class Row:
    """One attempt."""

    tokens: Tensor
    prompt: int
    trained: Tensor
    advantage: float


def made_rows(case: Case) -> list[Row]:
    """Groups of attempts that share their prompt, with random tokens and rewards."""
    rng, rows = np.random.default_rng(case.seed), list[Row]()
    for _ in range(case.groups):
        start = rng.integers(0, case.vocab, length(rng, case.prompt, case))
        advantages = group_advantages(rng.random(case.group_size).tolist(), True)
        for advantage in advantages:
            size = length(rng, case.completion, case)
            tokens = torch.from_numpy(np.concatenate([start, rng.integers(0, case.vocab, size)]))
            place = torch.arange(len(tokens)) - len(start)
            written = (place >= 0) & (place % (WRITTEN + RESULT) < WRITTEN)
            rows.append(Row(tokens, len(start), written, advantage))
    return rows


def length(rng: np.random.Generator, median: int, case: Case) -> int:
    """A log-normal length of at least 4."""
    return int(np.clip(rng.lognormal(np.log(median), case.sigma), 4, case.longest))


def made_model(case: Case) -> Any:
    """A Qwen3 with random weights, float32, tied embeddings."""
    torch.manual_seed(case.seed)
    config = Qwen3Config(
        vocab_size=case.vocab,
        hidden_size=case.hidden,
        intermediate_size=case.intermediate,
        num_hidden_layers=case.layers,
        num_attention_heads=case.heads,
        num_key_value_heads=case.kv_heads,
        head_dim=case.head_dim,
        max_position_embeddings=2 * case.longest,
        tie_word_embeddings=True,
    )
    with torch.device(case.device):
        return Qwen3ForCausalLM(config).float()


def to_pack(rows: list[Row]) -> Pack:
    """The rows as this trainer takes them; the policy is the one that wrote them (log-probabilities are set later)."""
    lengths = torch.tensor([len(row.tokens) for row in rows])
    trained_T = torch.cat([row.trained for row in rows])
    return Pack(
        offsets_N1=torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
        tokens_T=torch.cat([row.tokens for row in rows]),
        trained_T=trained_T,
        advantages_T=torch.cat([torch.full((len(row.tokens),), row.advantage) for row in rows]) * trained_T,
        weights_T=token_mean_weights(trained_T),
        logprobs_T=trained_T * -np.log(len(rows)),
        turns_T=torch.zeros_like(trained_T, dtype=torch.long),
    )


def head_step(case: Case) -> Made:
    """Log-probability and entropy of every token, and gradients through both."""
    g = torch.Generator().manual_seed(case.seed)
    hidden_SH = torch.randn(case.tokens, case.hidden, generator=g).to(case.device).requires_grad_()
    weight_VH = (0.02 * torch.randn(case.vocab, case.hidden, generator=g)).to(case.device).requires_grad_()
    targets_S = torch.randint(0, case.vocab, (case.tokens,), generator=g).to(case.device)

    def step() -> tuple[float, float]:
        hidden_SH.grad = weight_VH.grad = None
        with torch.autocast(case.device, torch.bfloat16, enabled=case.device == "cuda"):
            logprobs_S, entropy_S = head_of(case)(hidden_SH, weight_VH, targets_S)
        loss = -logprobs_S.mean() - 0.1 * entropy_S.mean()
        torch.autograd.backward(loss)
        assert weight_VH.grad is not None
        return float(loss.detach()), float(weight_VH.grad.norm())

    return step, [hidden_SH, weight_VH]


def head_of(case: Case) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Our head, or TRL's (its Triton kernel on CUDA)."""
    if case.side == "ours":
        return lambda hidden, weight, targets: head_logprobs(hidden, weight, targets, TEMPERATURE)
    from trl.kernels import ChunkedLogProbFunction

    outputs = ("log_probs", "entropy")
    return lambda hidden, weight, targets: ChunkedLogProbFunction.apply(
        hidden, weight, None, targets, TEMPERATURE, TRL_CHUNK, None, 1.0, outputs
    )[:2]


def sft_step(case: Case) -> Made:
    """A whole optimizer step of supervised fine-tuning."""
    model, rows = made_model(case), made_rows(case)
    learner = learner_of(model, case)
    if case.side in OURS:
        pack = to_pack(rows)

        def step() -> tuple[float, float]:
            figures = sft.train_step(learner, pack, LR, case.budget)
            assert figures["loss"] is not None
            assert figures["gradient_norm"] is not None
            return figures["loss"], figures["gradient_norm"]

        return step, list(model.parameters())
    trainer = trl_sft(model, rows, case)
    rows = sorted(rows, key=lambda row: len(row.tokens))
    batches = [[sft_example(row) for row in part] for part in batched(rows, case.trl_batch)]
    num_trained = torch.tensor(int(sum(row.trained.sum() for row in rows)))

    def loss_of(batch: list[dict[str, list[int]]]) -> Tensor:
        inputs = {k: v.to(case.device) if torch.is_tensor(v) else v for k, v in trainer.data_collator(batch).items()}
        with trainer.compute_loss_context_manager():
            loss: Tensor = trainer.compute_loss(model, inputs, num_items_in_batch=num_trained)
        return loss

    return lambda: accumulated(learner, [lambda b=b: loss_of(b) for b in batches]), list(model.parameters())


def sft_example(row: Row) -> dict[str, list[int]]:
    return {"input_ids": row.tokens.tolist(), "labels": row.tokens.where(row.trained, -100).tolist()}


def trl_sft(model: Any, rows: list[Row], case: Case) -> Any:
    """TRL's trainer, padded or padding-free, over rows as it reads them."""
    import trl
    from datasets import Dataset

    config = trl.SFTConfig(
        output_dir=tempfile.mkdtemp(),
        padding_free=case.side == "trl-padding-free",
        per_device_train_batch_size=case.trl_batch,
        max_length=None,
        **trl_options(case),
    )
    data = Dataset.from_list([sft_example(row) for row in rows])
    return trl.SFTTrainer(model=model, args=config, train_dataset=data, processing_class=qwen_tokenizer())


def trl_options(case: Case) -> dict[str, Any]:
    on_cpu = case.device == "cpu"
    return {"use_cpu": on_cpu, "bf16": not on_cpu, "report_to": "none", "gradient_checkpointing": False}


def rl_step(case: Case) -> Made:
    """A policy update on rows with old log-probabilities: clipped surrogate, token mean, one mini-batch."""
    model, rows = made_model(case), made_rows(case)
    learner = learner_of(model, case)
    if case.side in OURS:
        pack = to_pack(rows)
        parts = split_together(pack, case.budget) if learner.share_prefixes else pack.split(case.budget)
        micros = [micro.to(case.device) for micro in parts]
        return lambda: accumulated(learner, [lambda m=m: rl_loss(learner, m) for m in micros]), list(model.parameters())
    trainer = trl_rl(model, case)
    order = np.random.default_rng(case.seed).permutation(len(rows))
    num_trained = torch.tensor(int(sum(row.trained.sum() for row in rows)))
    batches = [
        rl_inputs([rows[i] for i in part], len(rows), num_trained, case) for part in batched(order, case.trl_batch)
    ]
    model.eval()  # no dropout in the model; TRL then takes the batch's own normaliser

    return lambda: accumulated(learner, [lambda b=b: trainer._compute_loss(model, b) for b in batches]), list(
        model.parameters()
    )


def rl_loss(learner: Learner, pack: Pack) -> Tensor:
    """As trainer.update accumulates it."""
    logprobs_T, entropy_T = learner.logprobs(pack, TEMPERATURE)
    return LOSS(
        logprobs_T,
        pack.logprobs_T,
        pack.advantages_T,
        pack.weights_T,
        pack.trained_T,
        pack.sequence_ids_T,
        entropy_T=entropy_T,
    )


def trl_rl(model: Any, case: Case) -> Any:
    """TRL's trainer with the same loss."""
    import trl
    from datasets import Dataset

    config = trl.GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        beta=0.0,
        loss_type="dapo",
        epsilon=CLIP.low,
        epsilon_high=CLIP.high,
        temperature=TEMPERATURE,
        per_device_train_batch_size=case.group_size,
        num_generations=case.group_size,
        **trl_options(case),
    )
    return trl.GRPOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        train_dataset=Dataset.from_dict({"prompt": ["x"] * case.group_size}),
        processing_class=qwen_tokenizer(),
    )


def rl_inputs(rows: list[Row], num_rows: int, num_trained: Tensor, case: Case) -> dict[str, Tensor]:
    """Rows as TRL's loss takes them: prompts padded on the left, completions on the right."""

    def padded(parts: list[Tensor], side: str) -> Tensor:
        return pad_sequence(parts, batch_first=True, padding_side=side).to(case.device)

    prompts = [row.tokens[: row.prompt] for row in rows]
    completions = [row.tokens[row.prompt :] for row in rows]
    trained = padded([row.trained[row.prompt :].long() for row in rows], "right")
    return {
        "prompt_ids": padded(prompts, "left"),
        "prompt_mask": padded([torch.ones_like(p) for p in prompts], "left"),
        "completion_ids": padded(completions, "right"),
        "completion_mask": padded([torch.ones_like(c) for c in completions], "right"),
        "tool_mask": trained,
        "old_per_token_logps": trained * -np.log(num_rows),
        "advantages": torch.tensor([row.advantage for row in rows], device=case.device),
        "num_items_in_batch": num_trained.to(case.device),
    }


def learner_of(model: Any, case: Case) -> Learner:
    """Both sides' optimizer; on our side, what commands.start does to a model as well."""
    if case.side in OURS:
        model.set_attn_implementation(NAME)
        if case.device == "cpu":
            speed_up_norms(model)
    optimizer = make_optimizer(model, LR, (0.9, 0.95), 0.0)
    return Learner(model, optimizer, torch.device(case.device), 1.0, share_prefixes=case.side == "ours-shared")


def accumulated(learner: Learner, losses: list[Callable[[], Tensor]]) -> tuple[float, float]:
    """Gradients of all micro-batches, then the optimizer."""
    total = 0.0
    for loss_of in losses:
        loss = loss_of()
        torch.autograd.backward(loss)
        total += float(loss.detach())
    return total, learner.apply(LR)[0]


def batched(items: Any, size: int) -> list[Any]:
    return [items[a:b] for a, b in pairwise([*range(0, len(items), size), len(items)])]


STEPS = {"head": head_step, "sft": sft_step, "rl": rl_step}
SIDES = {
    "head": ("ours", "trl"),
    "sft": ("ours", "trl-padded", "trl-padding-free"),
    "rl": ("ours", "ours-shared", "trl"),
}
