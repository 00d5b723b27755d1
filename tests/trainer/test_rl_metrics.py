"""Every figure of an RL step, on attempts and tallies made by hand; and a line on each in the reference."""

from pathlib import Path
from types import MappingProxyType

import pytest

from data_contracts.attempts import Attempt, CallRecord, CallStatus, Outcome, StopReason, Turn
from tests.pipelines.curation.made import attempt as made_attempt
from tests.tiny import make_task
from tests.trainer.test_rl import recipe
from trainer import rl_metrics, sft
from trainer.collection import Collected, Group
from trainer.scoring import score
from trainer.update import Tally

OK, ERROR = CallStatus.OK, CallStatus.ERROR
REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"


def made(
    key: str, outcome: Outcome, *calls: CallStatus, stop: StopReason = StopReason.END, void: bool = False
) -> Attempt:
    """One turn a call, each of 3 sampled tokens after 2 of context, then an answer; or a last turn that says nothing."""
    records = [
        CallRecord(id=f"{key}{i}", name="python", arguments="{}", status=s, result="4") for i, s in enumerate(calls)
    ]
    ids = {"context_ids_T": (1, 2), "context_kinds_T": (0, 0), "sampled_ids_T": (3, 4, 5), "sampled_kinds_T": (5, 5, 5)}
    turns = [Turn(text="<tool_call>{}</tool_call>", calls=(record,), **ids) for record in records]
    turns.append(Turn(text="" if void else "It is 4.", **ids))
    changes = {"outcome": outcome, "turns": tuple(turns), "stop": stop, "final_answer": None if void else "It is 4."}
    return made_attempt(key).model_copy(update=changes)


def group(*attempts: Attempt) -> Group:
    return Group(make_task("What is 2 plus 2?", "4"), attempts)


C, W, V, U = Outcome.CORRECT, Outcome.WRONG, Outcome.VOID, Outcome.UNLABELLED
USED = group(
    made("a", C, OK, ERROR),
    made("b", W, ERROR),
    made("c", W, stop=StopReason.LENGTH, void=True),
    made("d", C, OK, OK, OK, OK),
    made("e", V, ERROR, stop=StopReason.ENVIRONMENT_ERROR),
)
ALL_WRONG = group(made("f", W), made("g", W))
ALL_RIGHT = group(made("h", C), made("i", C))
UNKNOWN = group(made("j", U), made("k", V))
FEW = group(made("l", C), made("m", W))
COLLECTED = Collected([USED], [ALL_WRONG, ALL_RIGHT, UNKNOWN, FEW])


def test_what_became_of_the_tasks():
    assert rl_metrics.task_figures(COLLECTED) == {
        "tasks_drawn": 5,
        "tasks_used": 1,
        "tasks_all_correct": 1,
        "tasks_all_wrong": 1,
        "tasks_too_few_labelled": 1,
        "tasks_too_few_usable": 1,
    }


def test_what_the_attempts_did():
    """13 attempts, 2 void; of the other 11, 10 are labelled and 5 of them right; 7 calls, 5 of which succeeded."""
    assert rl_metrics.attempt_figures(COLLECTED) == {
        "attempts": 13,
        "void_share": pytest.approx(2 / 13),
        "accuracy": pytest.approx(5 / 10),
        "calls_per_attempt": pytest.approx(7 / 11),
        "call_success": pytest.approx(5 / 7),
        "truncated_share": pytest.approx(1 / 11),
        "void_turn_share": pytest.approx(1 / 11),
        "c1_share": pytest.approx(1 / 11),
        "sampled_tokens": 3 * (11 + 7),
    }


def test_rewards_by_the_number_of_calls_and_what_filters_mask():
    settings = recipe(reward_wrong=-1.0, filter_c1=True, mask_void_turns=True)
    scored = score([USED], settings, 0)
    assert rl_metrics.reward_figures(scored) == {
        "reward": 0.0,
        "overlong_penalty": 0.0,
        "reward_for_calls": 0.0,
        "masked_attempts": 2,
        "reward_0_calls": -1.0,
        "reward_1_calls": -1.0,
        "reward_2_calls": 1.0,
        "reward_many_calls": 1.0,
    }
    assert rl_metrics.filter_figures(scored, settings) == {"masked_by_c1": 1, "masked_by_void_turn": 1}
    assert rl_metrics.filter_figures(scored, recipe()) == dict.fromkeys(rl_metrics.FILTER_KEYS, 0)


SUMS = MappingProxyType(
    {
        "loss": 0.5, "tokens": 100, "trained": 40, "entropy": 20.0, "later": 16, "later_entropy": 4.0, "gated": 4,
        "gated_entropy": 3.0, "clipped_high": 2, "clipped_low": 4, "clipped_dual": 1, "kl": 8.0, "max_ratio": 3.0,
        "gap": 2.0, "max_gap": 0.5, "gap_tokens": 40, "correction": 36.0, "correction_squares": 40.0,
        "correction_bounded": 10, "reference_kl": 6.0, "updates": 2,
    }
)  # fmt: skip


def test_means_and_shares_of_an_update():
    assert rl_metrics.update_figures(Tally(**SUMS, norms=[1.0, 3.0])) == {
        "loss": 0.5,
        "tokens": 100,
        "trained_tokens": 40,
        "entropy": 0.5,
        "entropy_after_tool": 0.25,
        "entropy_gated": 0.75,
        "gate_share": 0.25,
        "clipped_high_share": 0.05,
        "clipped_low_share": 0.1,
        "clipped_dual_share": 0.025,
        "kl": 0.2,
        "max_ratio": 3.0,
        "sampler_gap": 0.05,
        "sampler_gap_max": 0.5,
        "correction_weight": 0.9,
        "correction_bounded_share": 0.25,
        "effective_sample_size": pytest.approx(36**2 / (40 * 40)),
        "reference_kl": 0.15,
        "gradient_norm": 2.0,
        "updates": 2,
    }


def test_what_was_not_measured_is_none_and_not_zero():
    figures = rl_metrics.update_figures(Tally())
    measured = {name for name, value in figures.items() if value is not None}
    assert measured == {"loss", "tokens", "trained_tokens", "max_ratio", "sampler_gap_max", "updates"}


def test_every_figure_has_a_line_in_the_reference():
    words = REFERENCE.read_text()
    assert [key for key in {*rl_metrics.KEYS, *sft.KEYS} if f"`{key}`" not in words] == []
