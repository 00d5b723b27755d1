"""Batched sampling from a transformers model in this process, with the exact log-probability of every sampled token.

Equal prompts share one prefill; finished rows leave the batch. Each row draws from a generator of its own, so that its
tokens depend on its prompt and seed alone (log-probabilities depend on the batch by about 1e-6).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rollout.engines import Completion, Finish, Request


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn."""

    temperature: float = 1.0
    """0 means greedy; log-probabilities are then those of temperature 1."""
    top_p: float = 1.0
    """Nucleus; 1 keeps every token. Training on samples needs 1 (a cut distribution biases the ratio)."""
    max_turn_tokens: int = 256
    """Tokens of one assistant message."""

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.max_turn_tokens < 1:
            raise ValueError(f"{self}: temperature must be >= 0, top_p in (0, 1], max_turn_tokens >= 1")


@dataclass
class _Batch:
    """Rows that are still being written: R rows, all parallel."""

    rows: list[int]
    """Index into the requests."""
    cache: Any
    mask_RT: Tensor
    positions_R: Tensor
    logits_RV: Tensor


class TransformersEngine:
    """A token engine over any causal language model of transformers."""

    def __init__(self, model: Any, end_id: int, pad_id: int, sampling: Sampling, batch_size: int = 128) -> None:
        self.model, self.end_id, self.pad_id = model, end_id, pad_id
        self.sampling, self.batch_size = sampling, batch_size

    @torch.no_grad()
    def sample(self, requests: Sequence[Request]) -> list[Completion]:
        """See Engine.sample. Raises ValueError for an empty prompt."""
        was_training = self.model.training
        self.model.eval()
        out: list[Completion] = []
        for start in range(0, len(requests), self.batch_size):
            out += self._sample_batch(requests[start : start + self.batch_size])
        self.model.train(was_training)
        return out

    def _sample_batch(self, requests: Sequence[Request]) -> list[Completion]:
        limits = [min(r.max_tokens, self.sampling.max_turn_tokens) for r in requests]
        draws = [np.random.default_rng(r.seed).random(n) for r, n in zip(requests, limits, strict=True)]
        ids: list[list[int]] = [[] for _ in requests]
        logprobs: list[list[float]] = [[] for _ in requests]
        batch = self._prefill([r.prompt_ids_T for r in requests])
        while batch.rows:
            uniforms = torch.tensor([draws[row][len(ids[row])] for row in batch.rows], device=batch.logits_RV.device)
            chosen_R, logprob_R = draw(batch.logits_RV, uniforms, self.sampling)
            going = []
            for i, (row, token, logprob) in enumerate(
                zip(batch.rows, chosen_R.tolist(), logprob_R.tolist(), strict=True)
            ):
                ids[row].append(token)
                logprobs[row].append(logprob)
                if token != self.end_id and len(ids[row]) < limits[row]:
                    going.append(i)
            self._step(batch, chosen_R, going)
        return [self._completion(i, p) for i, p in zip(ids, logprobs, strict=True)]

    def _completion(self, ids: list[int], logprobs: list[float]) -> Completion:
        finish = Finish.END if ids[-1] == self.end_id else Finish.LENGTH
        return Completion(text="", ids_T=tuple(ids), logprobs_T=tuple(logprobs), finish=finish)

    def _prefill(self, prompts: Sequence[tuple[int, ...]]) -> _Batch:
        if not all(prompts):
            raise ValueError("a prompt has no tokens: a token engine needs a renderer")
        unique = sorted(set(prompts), key=lambda ids: (len(ids), ids))
        width = len(unique[-1])
        device = self.model.device
        ids_UT = torch.full((len(unique), width), self.pad_id, device=device)
        mask_UT = torch.zeros((len(unique), width), dtype=torch.long, device=device)
        for i, prompt in enumerate(unique):
            ids_UT[i, width - len(prompt) :] = torch.tensor(prompt, device=device)
            mask_UT[i, width - len(prompt) :] = 1
        positions_UT = (mask_UT.cumsum(1) - 1).clamp(min=0)
        out = self.model(
            input_ids=ids_UT, attention_mask=mask_UT, position_ids=positions_UT, use_cache=True, logits_to_keep=1
        )
        index = {prompt: i for i, prompt in enumerate(unique)}
        owner_R = torch.tensor([index[prompt] for prompt in prompts], device=device)
        _select_cache(out.past_key_values, owner_R)
        return _Batch(
            rows=list(range(len(prompts))),
            cache=out.past_key_values,
            mask_RT=mask_UT[owner_R],
            positions_R=positions_UT[owner_R, -1] + 1,
            logits_RV=out.logits[owner_R, -1].float(),
        )

    def _step(self, batch: _Batch, chosen_R: Tensor, going: list[int]) -> None:
        """Feed the chosen tokens of the rows that go on; the others leave."""
        if not going:
            batch.rows = []
            return
        if len(going) < len(batch.rows):
            keep = torch.tensor(going, device=chosen_R.device)
            _select_cache(batch.cache, keep)
            batch.rows = [batch.rows[i] for i in going]
            batch.mask_RT, batch.positions_R, chosen_R = batch.mask_RT[keep], batch.positions_R[keep], chosen_R[keep]
        batch.mask_RT = torch.cat([batch.mask_RT, torch.ones_like(batch.mask_RT[:, :1])], dim=1)
        out = self.model(
            input_ids=chosen_R[:, None],
            attention_mask=batch.mask_RT,
            position_ids=batch.positions_R[:, None],
            past_key_values=batch.cache,
            use_cache=True,
        )
        batch.positions_R = batch.positions_R + 1
        batch.logits_RV = out.logits[:, -1].float()


def _select_cache(cache: Any, rows: Tensor) -> None:
    select: Callable[[Tensor], None] = cache.batch_select_indices
    select(rows)


def draw(logits_RV: Tensor, uniforms_R: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """One token per row by inversion of the cumulative distribution, and its log-probability (nats) under the
    distribution that it was drawn from.

    Shapes: logits (R, V), uniforms in [0, 1) (R,); returns ids (R,) and log-probabilities (R,).
    """
    if sampling.temperature == 0:
        logprobs_RV = logits_RV.log_softmax(-1)
        chosen_R = logits_RV.argmax(-1)
        return chosen_R, logprobs_RV.gather(1, chosen_R[:, None])[:, 0]
    logprobs_RV = (logits_RV / sampling.temperature).log_softmax(-1)
    if sampling.top_p < 1:
        logprobs_RV = _nucleus(logprobs_RV, sampling.top_p)
    cumulative_RV = logprobs_RV.double().exp().cumsum(-1)
    thresholds_R = uniforms_R.double() * cumulative_RV[:, -1]
    chosen_R = torch.searchsorted(cumulative_RV, thresholds_R[:, None], right=True)[:, 0]
    chosen_R = chosen_R.clamp(max=logits_RV.shape[1] - 1)
    return chosen_R, logprobs_RV.gather(1, chosen_R[:, None])[:, 0]


def _nucleus(logprobs_RV: Tensor, top_p: float) -> Tensor:
    """The smallest set of most probable tokens whose mass reaches top_p, renormalised."""
    sorted_RV, order_RV = logprobs_RV.sort(-1, descending=True)
    mass_before_RV = sorted_RV.exp().cumsum(-1) - sorted_RV.exp()
    outside_RV = (mass_before_RV >= top_p).scatter(1, order_RV, mass_before_RV >= top_p)
    return logprobs_RV.masked_fill(outside_RV, -torch.inf).log_softmax(-1)
