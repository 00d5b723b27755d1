"""Packs and learners that the tests of the trainer share."""

from typing import Any

import torch
from hypothesis import strategies as st

from data_contracts.attempts import Origin, Outcome, StopReason
from data_contracts.token_rows import SegmentKind, TokenRow
from tests.tiny import qwen_model, qwen_tokenizer
from trainer import attention
from trainer.learner import Learner
from trainer.optim import make_optimizer
from trainer.packing import Pack, from_rows

VOCABULARY = len(qwen_tokenizer())


def make_row(number: int, tokens: list[int], trained: list[bool], logprobs: list[float] | None = None) -> TokenRow:
    """A row whose trained tokens are answers."""
    values = logprobs or [-1.0] * len(tokens)
    return TokenRow(
        key=f"row-{number:04d}",
        attempt_key=f"attempt-{number}",
        task_key="task-1",
        policy="p@1",
        tokenizer_id="t",
        origin=Origin.SAMPLED,
        stop=StopReason.END,
        outcome=Outcome.CORRECT,
        tokens_T=tuple(tokens),
        kinds_T=tuple(SegmentKind.ANSWER if t else SegmentKind.RESULT for t in trained),
        trained_T=tuple(trained),
        logprobs_T=tuple(v if t else None for v, t in zip(values, trained, strict=True)),
        turns_T=tuple(0 for _ in tokens),
    )


def random_rows(num_rows: int, seed: int, longest: int = 24) -> list[TokenRow]:
    """Rows of 2 .. `longest` tokens, about half of them trained."""
    g = torch.Generator().manual_seed(seed)
    rows = []
    for number in range(num_rows):
        length = int(torch.randint(2, longest + 1, (1,), generator=g))
        tokens = torch.randint(0, VOCABULARY, (length,), generator=g).tolist()
        trained = [False, *(torch.rand(length - 1, generator=g) < 0.5).tolist()]
        rows.append(make_row(number, tokens, trained))
    return rows


def random_pack(num_rows: int, seed: int, longest: int = 24) -> Pack:
    """`random_rows` as a pack."""
    return from_rows(random_rows(num_rows, seed, longest))


@st.composite
def row_lists(draw: st.DrawFn) -> list[TokenRow]:
    """One to eight rows of 1 .. 12 tokens with any mask that leaves the first token out."""
    rows = []
    for number in range(draw(st.integers(1, 8))):
        tokens = draw(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=12))
        trained = [False, *(draw(st.booleans()) for _ in tokens[1:])]
        rows.append(make_row(number, tokens, trained))
    return rows


def make_model(seed: int = 0, **changes: Any) -> Any:
    """The tiny Qwen3 with packed attention."""
    model = qwen_model(seed, **changes)
    model.set_attn_implementation(attention.NAME)
    return model


def make_learner(seed: int = 0, lr: float = 1e-3) -> Learner:
    """A tiny model with its optimizer on the CPU."""
    model = make_model(seed)
    return Learner(model, make_optimizer(model, lr, (0.9, 0.95), 0.01), torch.device("cpu"), grad_clip=1.0)
