"""The numbers that are logged at every RL step: one fixed set of keys. Pure."""

from collections.abc import Sequence
from statistics import fmean

from data_contracts.attempts import Attempt, Outcome, StopReason
from rollout.verdicts import LABELLED, all_calls_failed, call_succeeded, void_turn
from trainer.collection import Collected
from trainer.correction import effective_sample_size
from trainer.filters import breaks_c1
from trainer.recipe import RlRecipe
from trainer.scoring import Scored
from trainer.update import Tally

TRUNCATED = frozenset({StopReason.LENGTH, StopReason.MAX_TURNS, StopReason.TOOL_OVERFLOW, StopReason.TOOL_TIMEOUT})
MANY_CALLS = 3
"""Attempts with this many calls or more share one key."""

Figures = dict[str, float | None]


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def task_figures(collected: Collected) -> Figures:
    """What became of the tasks that were drawn."""
    return {
        "tasks_drawn": len(collected.all),
        "tasks_used": len(collected.used),
        "tasks_all_correct": collected.num_dropped(Outcome.CORRECT),
        "tasks_all_wrong": collected.num_dropped(Outcome.WRONG),
        "tasks_too_few_labelled": collected.num_dropped(None),
        "tasks_too_few_usable": collected.num_unusable,
    }


def attempt_figures(collected: Collected) -> Figures:
    """All attempts of the step, those of dropped groups too; `accuracy` is the policy's on the tasks as drawn."""
    attempts = [attempt for group in collected.all for attempt in group.attempts_G]
    real = [attempt for attempt in attempts if attempt.outcome is not Outcome.VOID]
    labelled = [attempt for attempt in real if attempt.outcome in LABELLED]
    calls = [call for attempt in real for call in attempt.calls()]
    return {
        "attempts": len(attempts),
        "void_share": _ratio(len(attempts) - len(real), len(attempts)),
        "accuracy": _ratio(sum(a.outcome is Outcome.CORRECT for a in labelled), len(labelled)),
        "calls_per_attempt": _ratio(len(calls), len(real)),
        "call_success": _ratio(sum(call_succeeded(call) for call in calls), len(calls)),
        "truncated_share": _ratio(sum(a.stop in TRUNCATED for a in real), len(real)),
        "void_turn_share": _ratio(sum(void_turn(a) for a in real), len(real)),
        "c1_share": _ratio(sum(all_calls_failed(a) for a in real), len(real)),
        "sampled_tokens": sum(len(turn.sampled_ids_T) for a in real for turn in a.turns),
    }


def reward_figures(scored: Scored) -> Figures:
    """Rewards of the used groups, by number of calls too."""
    return {
        "reward": _mean(scored.rewards_B),
        "overlong_penalty": _mean(scored.penalties_B),
        "reward_for_calls": _mean(scored.call_rewards_B),
        "masked_attempts": sum(scored.masked_B),
        **{f"reward_{name}_calls": _mean(_with_calls(scored, name)) for name in ("0", "1", "2", "many")},
    }


def filter_figures(scored: Scored, recipe: RlRecipe) -> Figures:
    """Attempts of the used groups that each filter of the recipe takes out of the loss; one may be hit by both."""
    attempts = scored.attempts_B
    return {
        "masked_by_c1": sum(breaks_c1(attempt, recipe) for attempt in attempts),
        "masked_by_void_turn": sum(recipe.mask_void_turns and void_turn(attempt) for attempt in attempts),
    }


def _with_calls(scored: Scored, name: str) -> list[float]:
    return [r for attempt, r in zip(scored.attempts_B, scored.rewards_B, strict=True) if _calls_name(attempt) == name]


def _calls_name(attempt: Attempt) -> str:
    num = len(attempt.calls())
    return "many" if num >= MANY_CALLS else str(num)


def update_figures(tally: Tally) -> Figures:
    """The update: None where nothing was trained."""
    return {
        "loss": tally.loss,
        "tokens": tally.tokens,
        "trained_tokens": tally.trained,
        "entropy": _ratio(tally.entropy, tally.trained),
        "entropy_after_tool": _ratio(tally.later_entropy, tally.later),
        "entropy_gated": _ratio(tally.gated_entropy, tally.gated),
        "gate_share": _ratio(tally.gated, tally.later),
        "clipped_high_share": _ratio(tally.clipped_high, tally.trained),
        "clipped_low_share": _ratio(tally.clipped_low, tally.trained),
        "clipped_dual_share": _ratio(tally.clipped_dual, tally.trained),
        "kl": _ratio(tally.kl, tally.trained),
        "max_ratio": tally.max_ratio,
        "sampler_gap": _ratio(tally.gap, tally.gap_tokens),
        "sampler_gap_max": tally.max_gap,
        "correction_weight": _ratio(tally.correction, tally.gap_tokens) if tally.correction_squares else None,
        "correction_bounded_share": _ratio(tally.correction_bounded, tally.gap_tokens)
        if tally.correction_squares
        else None,
        "effective_sample_size": effective_sample_size(tally.correction, tally.correction_squares, tally.gap_tokens),
        "reference_kl": _ratio(tally.reference_kl, tally.trained),
        "gradient_norm": _mean(tally.norms or []),
        "updates": tally.updates,
    }


FILTER_KEYS = ("masked_by_c1", "masked_by_void_turn")
RUN_KEYS = ("lr", "nonfinite_steps", "policy_version", "cpu_seconds", "sampling_cpu_seconds")
KEYS = (
    *task_figures(Collected()),
    *attempt_figures(Collected()),
    *reward_figures(Scored((), (), (), (), (), (), ())),
    *FILTER_KEYS,
    *update_figures(Tally()),
    *RUN_KEYS,
)
