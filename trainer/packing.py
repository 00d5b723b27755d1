"""Rows of tokens as flat tensors, and their split into micro-batches by a token budget.

A data set, a batch and a micro-batch are the same thing, a `Pack`: N sequences one after the other without padding.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self, TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from data_contracts.storage import to_table
from data_contracts.token_rows import TokenRow


@dataclass(frozen=True)
class Pack:
    """N sequences of T tokens in all. Sequence n is `tokens_T[offsets_N1[n] : offsets_N1[n + 1]]`.

    Example, two sequences of 3 and 2 tokens:
        offsets_N1 = [0, 3, 5]; positions_T = [0, 1, 2, 0, 1]; sequence_ids_T = [0, 0, 0, 1, 1]
    """

    offsets_N1: Tensor
    tokens_T: Tensor
    trained_T: Tensor
    """Bool: in the loss. Never true for the first token of a sequence: nothing predicts it."""
    advantages_T: Tensor
    weights_T: Tensor
    """Weight of each token's loss; zero where not trained. A batch's loss is the plain sum of weight x token loss, so
    that splitting the batch changes nothing."""
    logprobs_T: Tensor
    """Behaviour log-probabilities, nats; zero where not trained, NaN where trained but not measured."""
    turns_T: Tensor
    """The assistant turn of each token, from 0."""

    @property
    def num_sequences(self) -> int:
        """N."""
        return len(self.offsets_N1) - 1

    @property
    def num_tokens(self) -> int:
        """T."""
        return len(self.tokens_T)

    @cached_property
    def lengths_N(self) -> Tensor:
        """Tokens per sequence."""
        return self.offsets_N1.diff()

    @cached_property
    def sequence_ids_T(self) -> Tensor:
        """Which sequence a token belongs to, 0 .. N-1."""
        return torch.arange(self.num_sequences, device=self.offsets_N1.device).repeat_interleave(self.lengths_N)

    @cached_property
    def positions_T(self) -> Tensor:
        """Position inside the sequence, from 0."""
        return torch.arange(self.num_tokens, device=self.offsets_N1.device) - self.offsets_N1[self.sequence_ids_T]

    @cached_property
    def trained_positions_S(self) -> Tensor:
        """Flat indices of the S trained tokens."""
        return self.trained_T.nonzero().squeeze(1)

    def take(self, sequences: Tensor) -> Self:
        """The given sequences, in the given order, as a new pack."""
        lengths = self.lengths_N[sequences]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        inside = torch.arange(int(offsets[-1])) - offsets[:-1].repeat_interleave(lengths)
        index = self.offsets_N1[sequences].repeat_interleave(lengths) + inside
        flat = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(**{name: offsets if name == "offsets_N1" else flat[name][index] for name in flat})

    def to(self, device: torch.device | str) -> Self:
        """The same pack on another device."""
        return type(self)(*(getattr(self, field.name).to(device) for field in fields(self)))

    def idle(self) -> Self:
        """Its first token alone, which is never trained: a pack for a rank without work, of zero loss and zero gradient."""
        first = {field.name: getattr(self, field.name)[:1] for field in fields(self)}
        return type(self)(**(first | {"offsets_N1": self.offsets_N1.new_tensor([0, 1])}))

    def split(self, budget: int) -> list[Self]:
        """Micro-batches of at most `budget` tokens that hold every sequence once.

        Sequences are sorted by length first (ties by position), so that neighbours pad little where a device pads.
        Raises ValueError for a sequence that is longer than the budget.
        """
        return [self.take(part) for part in plan(self.lengths_N, budget)]


P = TypeVar("P", bound=Pack)


def check_budget(lengths_N: Tensor, budget: int) -> None:
    """Raises ValueError for a sequence that no micro-batch can hold."""
    longest = int(lengths_N.max()) if len(lengths_N) else 0
    if longest > budget:
        raise ValueError(
            f"a row has {longest} tokens, but a micro-batch holds at most {budget}: raise tokens_per_microbatch to at "
            f"least {longest}, or drop rows that long when the dataset is made"
        )


def plan(lengths_N: Tensor, budget: int) -> list[Tensor]:
    """Sequence indices per micro-batch, each of at most `budget` tokens."""
    check_budget(lengths_N, budget)
    parts: list[list[int]] = []
    room = 0
    for index in torch.argsort(lengths_N, descending=True, stable=True).tolist():
        length = int(lengths_N[index])
        if length > room:
            parts.append([])
            room = budget
        parts[-1].append(index)
        room -= length
    return [torch.tensor(part) for part in parts]


def evened(packs: Sequence[P], num_ranks: int) -> list[P]:
    """The packs, with idle ones at the end so that all ranks get equally many: with sharded weights a forward and a backward
    pass are collectives."""
    return [*packs, *(packs[0].idle() for _ in range(-len(packs) % num_ranks))]


def from_table(table: pa.Table) -> Pack:
    """Token rows, as read from Parquet, as one pack. Raises ValueError for rows that cannot be trained on."""
    columns = table.select(["tokens_T", "trained_T", "logprobs_T", "turns_T"]).combine_chunks()
    tokens, trained, logprobs, turns = columns.columns
    lengths = torch.tensor(tokens.combine_chunks().value_lengths().to_numpy(zero_copy_only=False), dtype=torch.long)
    trained_T = _values(trained, np.bool_)
    pack = Pack(
        offsets_N1=torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
        tokens_T=_values(tokens, np.int64),
        trained_T=trained_T,
        advantages_T=torch.zeros(len(trained_T)),
        weights_T=trained_T.float(),
        logprobs_T=torch.where(trained_T, _values(logprobs, np.float32), 0.0),
        turns_T=_values(turns, np.int64),
    )
    return _checked(pack)


def from_rows(rows: Iterable[TokenRow]) -> Pack:
    """Token rows as one pack."""
    return from_table(to_table(rows, TokenRow))


def _values(column: pa.ChunkedArray, dtype: type[np.generic]) -> Tensor:
    flat = column.combine_chunks().flatten()
    return torch.from_numpy(flat.to_numpy(zero_copy_only=False).astype(dtype))


def _checked(pack: Pack) -> Pack:
    if int(pack.lengths_N.min() if pack.num_sequences else 0) < 1:
        raise ValueError(
            "the dataset has no rows, or a row without tokens: look at the decisions of the step that made it"
        )
    starts = pack.offsets_N1[:-1]
    if bool(pack.trained_T[starts].any()):
        row = int(pack.trained_T[starts].nonzero()[0])
        raise ValueError(
            f"row {row} trains its first token, which nothing predicts: mark the first token as not trained"
        )
    return pack


def draw(num_items: int, start: int, count: int, seed: int) -> list[int]:
    """Items number `start` .. `start + count - 1` of an endless stream: one seeded permutation after the other.

    The stream is a function of (num_items, seed) alone, so `start` is all that a resumed run has to remember.
    """
    epochs = range(start // num_items, (start + count - 1) // num_items + 1)
    stream = [item for epoch in epochs for item in _permutation(num_items, seed, epoch)]
    first = start - epochs[0] * num_items
    return stream[first : first + count]


def _permutation(num_items: int, seed: int, epoch: int) -> Sequence[int]:
    order: list[int] = np.random.default_rng([seed, epoch]).permutation(num_items).tolist()
    return order
