"""From groups of attempts to token rows with advantages. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from data_contracts.attempts import Attempt, Outcome
from data_contracts.tasks import Task
from rollout.rows import sampled_row
from rollout.verdicts import all_calls_failed, void_turn
from trainer.advantages import group_advantages, overlong_penalty, shuffled
from trainer.collection import Group
from trainer.packing import Pack, from_rows
from trainer.recipe import RlRecipe


@dataclass(frozen=True)
class Scored:
    """The labelled attempts of the used groups, all parallel (B)."""

    attempts_B: tuple[Attempt, ...]
    groups_B: tuple[int, ...]
    """Number of the attempt's group."""
    rewards_B: tuple[float, ...]
    penalties_B: tuple[float, ...]
    """The overlong part of the reward."""
    advantages_B: tuple[float, ...]
    masked_B: tuple[bool, ...]
    """Left out of the loss by a tool-aware filter, after advantages were computed."""


def num_response_tokens(attempt: Attempt, counts_results: bool) -> int:
    """Tokens after the prompt: what the model wrote and, with `counts_results`, what tools and template put between."""
    written = sum(len(turn.sampled_ids_T) for turn in attempt.turns)
    between = sum(len(turn.context_ids_T) for turn in attempt.turns[1:])
    return written + between * counts_results


def penalty(attempt: Attempt, task: Task, recipe: RlRecipe) -> float:
    """Overlong shaping of one attempt. Where the recipe states no length, -1 is reached where the task's limit cuts."""
    prompt = len(attempt.turns[0].context_ids_T) if attempt.turns else 0
    limit = recipe.overlong_max_tokens or task.limits.max_tokens - prompt
    length = num_response_tokens(attempt, recipe.overlong_counts_results)
    return overlong_penalty(length, limit, recipe.overlong_cache_tokens)


def score(groups: Sequence[Group], recipe: RlRecipe, seed: int) -> Scored:
    """Rewards, advantages over all labelled members of each group, and masks. `seed` is used by shuffle_rewards only."""
    members = [(number, group.task, a) for number, group in enumerate(groups) for a in group.labelled]
    penalties = [penalty(attempt, task, recipe) for _, task, attempt in members]
    values = {Outcome.CORRECT: recipe.reward_correct, Outcome.WRONG: recipe.reward_wrong}
    rewards = [values[a.outcome] + p for (_, _, a), p in zip(members, penalties, strict=True)]
    if recipe.shuffle_rewards:
        rewards = shuffled(rewards, seed)
    numbers = [number for number, _, _ in members]
    attempts = tuple(attempt for _, _, attempt in members)
    return Scored(
        attempts_B=attempts,
        groups_B=tuple(numbers),
        rewards_B=tuple(rewards),
        penalties_B=tuple(penalties),
        advantages_B=tuple(_advantages(rewards, numbers)),
        masked_B=tuple(is_masked(attempt, recipe) for attempt in attempts),
    )


def _advantages(rewards_B: Sequence[float], groups_B: Sequence[int]) -> list[float]:
    """Group by group; members of a group stand side by side."""
    return [
        advantage
        for group in dict.fromkeys(groups_B)
        for advantage in group_advantages([r for r, g in zip(rewards_B, groups_B, strict=True) if g == group])
    ]


def is_masked(attempt: Attempt, recipe: RlRecipe) -> bool:
    """Whether a filter of the recipe takes this attempt out of the loss."""
    return (recipe.filter_c1 and all_calls_failed(attempt)) or (recipe.mask_void_turns and void_turn(attempt))


def to_pack(scored: Scored, members: Sequence[int]) -> Pack | None:
    """The rows of the given attempts that are in the loss, their advantages on every token; None where all are masked.

    An attempt whose prompt left no room for a single token has no row."""
    kept = [i for i in members if not scored.masked_B[i] and scored.attempts_B[i].turns]
    if not kept:
        return None
    pack = from_rows(sampled_row(scored.attempts_B[i]) for i in kept)
    advantages_N = torch.tensor([scored.advantages_B[i] for i in kept])
    return replace(pack, advantages_T=advantages_N[pack.sequence_ids_T] * pack.trained_T)
