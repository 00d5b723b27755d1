"""Tokens that sequences of a pack begin with alike, computed once.

A hidden state depends on its token and those before it alone, so equal beginnings have equal hidden states, exactly: the
attempts of a group share their prompt, rows of one task set their system text.
"""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from trainer.packing import Pack, check_budget

P = TypeVar("P", bound=Pack)

MIN_SHARE = 0.05
"""Share of a pack's tokens that must be repeated for it to pay: attention gathers its inputs once more."""


@dataclass(frozen=True)
class Shared:
    """Which of a pack's T tokens are computed, U of them.

    Example, sequences [5, 6, 7] and [5, 6, 9, 9]: kept_U = [0, 1, 2, 5, 6]; places_T = [0, 1, 2, 0, 1, 3, 4]
    """

    kept_U: Tensor
    """Their flat indices."""
    places_T: Tensor
    """Where among the kept ones each token's hidden state is."""


def shared(pack: Pack) -> Shared | None:
    """What need not be computed twice, where a sequence begins as the one before it; None where that is too little."""
    repeated_T = pack.positions_T < common(pack)[pack.sequence_ids_T]
    if int(repeated_T.sum()) < MIN_SHARE * pack.num_tokens:
        return None
    kept_U = (~repeated_T).nonzero().squeeze(1)
    numbers_T = (~repeated_T).cumsum(0) - 1
    return Shared(kept_U, numbers_T[_first(pack, repeated_T)])


def _first(pack: Pack, repeated_T: Tensor) -> Tensor:
    """Flat index of the first token that each one repeats: its place in the sequence before, and so on back from there."""
    source_T = torch.where(repeated_T, _before(pack), torch.arange(pack.num_tokens, device=repeated_T.device))
    for _ in range(pack.num_sequences.bit_length()):
        source_T = source_T[source_T]
    return source_T


def _before(pack: Pack) -> Tensor:
    """Flat index of the same position in the sequence before; of the first sequence, and beyond the end, some other."""
    lengths_N = pack.lengths_N.roll(1)
    before_T = torch.arange(pack.num_tokens, device=lengths_N.device) - lengths_N[pack.sequence_ids_T]
    return before_T.clamp(min=0)


def common(pack: Pack) -> Tensor:
    """(N,) leading tokens that each sequence has in common with the one before it; 0 for the first."""
    ids_T, positions_T = pack.sequence_ids_T, pack.positions_T
    inside_T = (ids_T > 0) & (positions_T < pack.lengths_N.roll(1)[ids_T])
    differ_T = ~(inside_T & (pack.tokens_T[_before(pack)] == pack.tokens_T))
    return pack.lengths_N.scatter_reduce(0, ids_T[differ_T], positions_T[differ_T], "amin")


def split_together(pack: P, budget: int) -> list[P]:
    """Micro-batches of at most `budget` computed tokens that hold every sequence once, in the order of the pack, so that
    the attempts of a group stay together. Errors as in Pack.split."""
    check_budget(pack.lengths_N, budget)
    parts: list[list[int]] = []
    room = 0
    for number, (length, known) in enumerate(zip(pack.lengths_N.tolist(), common(pack).tolist(), strict=True)):
        if length - known > room:
            parts.append([])
            room, known = budget, 0
        parts[-1].append(number)
        room -= length - known
    return [pack.take(torch.tensor(part)) for part in parts]
