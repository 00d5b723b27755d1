"""The RL loop on a tiny model: real rendering, real sampling; only the judge is the test's."""

from dataclasses import replace
from math import isfinite
from pathlib import Path

import pytest
import torch

from data_contracts.attempts import Attempt, CallRecord, CallStatus, Outcome, Policy, PolicyKind
from data_contracts.storage import read_rows
from rollout.agent import Setting
from rollout.engines.transformers import Sampling, TransformersEngine
from rollout.groups import Job, run_attempts
from rollout.rendering import Renderer
from rollout.rows import sampled_row
from tests.tiny import make_task, qwen_tokenizer
from tests.trainer.packs import make_learner
from tests.trainer.test_resume import kill_after, weights
from trainer import rl, rl_metrics
from trainer.checkpoints import Position
from trainer.collection import Collected, Group, collect
from trainer.methods import METHODS, with_method
from trainer.metrics import read_metrics
from trainer.packing import from_rows
from trainer.recipe import RlRecipe
from trainer.scoring import num_response_tokens, penalty, score, to_pack
from trainer.sharding import gathered
from trainer.update import minibatch_members, update

TASKS = [make_task(f"What is {i} plus 1?", str(i + 1)) for i in range(6)]
CLOCKS = {"cpu_seconds", "sampling_cpu_seconds"}


def recipe(**changes) -> RlRecipe:
    fields = {
        "lr": 1e-2,
        "max_steps": 6,
        "tasks_per_step": 3,
        "group_size": 4,
        "num_minibatches": 2,
        "tokens_per_microbatch": 1024,
        "save_every": 1,
    }
    return RlRecipe.model_validate(fields | changes)


class Judged:
    """A source that samples from the live model and calls an attempt right when its first token is in the lower half of
    the vocabulary. `asked` counts the attempts that were really sampled."""

    def __init__(self, learner, max_turn_tokens: int = 6) -> None:
        self.asked = 0
        renderer = Renderer(qwen_tokenizer())
        sampling = Sampling(max_turn_tokens=max_turn_tokens)
        self.engine = TransformersEngine(learner.model, renderer.end_id, qwen_tokenizer().pad_token_id, sampling)
        policy = Policy(kind=PolicyKind.STUDENT, name="tiny", revision="1")
        self.setting = Setting(policy, "spec", {}, renderer)

    def judge(self, attempt: Attempt) -> Outcome:
        first = next(iter(attempt.turns[0].sampled_ids_T), None)  # none where all that was written was cut
        return Outcome.CORRECT if first is not None and first < len(qwen_tokenizer()) // 2 else Outcome.WRONG

    def attempts(self, jobs: list[Job], moment: str) -> list[Attempt]:
        self.asked += len(jobs)
        with gathered(self.engine.model):
            sampled = run_attempts(jobs, self.engine, self.setting)
        return [attempt.model_copy(update={"outcome": self.judge(attempt)}) for attempt in sampled]


class Constant(Judged):
    """Every attempt has the same outcome."""

    def __init__(self, learner, outcome: Outcome) -> None:
        super().__init__(learner)
        self.outcome = outcome

    def judge(self, attempt: Attempt) -> Outcome:
        return self.outcome


class Stop(Exception):
    """The interruption."""


class Stopping(Judged):
    """Dies when it is asked for anything after a moment: what it made before is stored, but not all of it is in a state."""

    def __init__(self, learner, last_moment: str) -> None:
        super().__init__(learner)
        self.last_moment = last_moment

    def attempts(self, jobs: list[Job], moment: str) -> list[Attempt]:
        if moment > self.last_moment:
            raise Stop
        return super().attempts(jobs, moment)


def lines(folder: Path) -> list[dict[str, float | None]]:
    return [{k: v for k, v in line.items() if k not in CLOCKS} for line in read_metrics(folder)]


@pytest.fixture(scope="module")
def groups(tmp_path_factory) -> list[Group]:
    """Groups whose outcomes differ."""
    learner = make_learner()
    folder = tmp_path_factory.mktemp("groups")
    collected = collect(Judged(learner), TASKS, recipe(tasks_per_step=6, group_size=6), Position(), 0, folder)
    assert len(collected.used) > 2
    return collected.used


def test_rl_learns_what_is_rewarded(tmp_path):
    """One-token attempts at lr 5e-2: .50 at the first step, .97 at the twelfth when this was written."""
    learner = make_learner()
    settings = recipe(lr=5e-2, max_steps=12, group_size=12, num_minibatches=1, max_refills=0)
    rl.train(learner, Judged(learner, max_turn_tokens=1), TASKS, settings, 3, tmp_path)
    accuracies = [line["accuracy"] for line in read_metrics(tmp_path)]
    assert accuracies[0] < 0.75
    assert accuracies[-1] > 0.9


def test_shuffled_rewards_teach_nothing_but_keep_their_sum(groups):
    straight, dealt = score(groups, recipe(), 5), score(groups, recipe(shuffle_rewards=True), 5)
    assert sorted(dealt.rewards_B) == sorted(straight.rewards_B)
    assert dealt.rewards_B != straight.rewards_B
    assert dealt.attempts_B == straight.attempts_B


CORRECTED = {"recompute_logprobs": True, "correction": "tis", "correction_bound": 2.0}
TAO = {"method": "tao", "filter_c1": False, "mask_void_turns": False, "min_usable_attempts": 0}


@pytest.mark.parametrize("changes", [{}, CORRECTED, {"shuffle_rewards": True}, TAO])
def test_rl_resumes_bit_for_bit_and_samples_nothing_again(tmp_path, changes):
    settings = recipe(save_every=2, **changes)
    straight = make_learner()
    source = Judged(straight)
    end = rl.train(straight, source, TASKS, settings, 3, tmp_path / "straight")
    first = make_learner()
    part = Stopping(first, last_moment="step-00003")
    with pytest.raises(Stop):
        rl.train(first, part, TASKS, settings, 3, tmp_path / "cut")
    second = make_learner(seed=5)
    rest = Judged(second)
    resumed = rl.train(second, rest, TASKS, settings, 3, tmp_path / "cut")
    assert torch.equal(weights(straight), weights(second))
    assert part.asked + rest.asked == source.asked
    assert lines(tmp_path / "cut") == lines(tmp_path / "straight")
    assert (resumed.drawn, resumed.policy_version) == (end.drawn, end.policy_version)


CHILD = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.trainer.packs import make_learner
from tests.trainer.test_rl import LONG, TASKS, Judged, recipe
from trainer import rl

class Slow(Judged):
    def attempts(self, jobs, moment):
        time.sleep(0.05)
        return super().attempts(jobs, moment)

learner = make_learner()
rl.train(learner, Slow(learner), TASKS, recipe(max_steps=LONG, save_every=3), 3, Path(sys.argv[1]))
"""
LONG = 20


def test_rl_killed_with_minus_nine_samples_no_stored_attempt_again(tmp_path):
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    done = kill_after(CHILD, killed, LONG // 4)
    assert LONG // 4 <= done < LONG
    stored = sum(len(read_rows(path, Attempt)) for path in (killed / "attempts").glob("step-*.parquet"))
    settings = recipe(max_steps=LONG, save_every=3)
    learners = make_learner(seed=5), make_learner()
    rest, whole = (Judged(learner) for learner in learners)
    rl.train(learners[0], rest, TASKS, settings, 3, killed)
    rl.train(learners[1], whole, TASKS, settings, 3, straight)
    assert torch.equal(*map(weights, learners))
    assert lines(killed) == lines(straight)
    assert stored > 0
    assert rest.asked == whole.asked - stored


def test_a_stored_round_is_read_and_not_sampled_again(tmp_path):
    learner = make_learner()
    source = Judged(learner)
    first = collect(source, TASKS, recipe(), Position(), 0, tmp_path)
    asked = source.asked
    again = collect(source, TASKS, recipe(), Position(), 0, tmp_path)
    assert source.asked == asked
    assert again == first
    stored = [a for path in sorted((tmp_path / "attempts").iterdir()) for a in read_rows(path, Attempt)]
    assert len({attempt.key for attempt in stored}) == len(stored) == asked


@pytest.mark.parametrize(
    ("outcome", "key"), [(Outcome.CORRECT, "tasks_all_correct"), (Outcome.WRONG, "tasks_all_wrong")]
)
def test_groups_without_variance_are_refilled_up_to_the_cap(tmp_path, outcome, key):
    learner = make_learner()
    before = weights(learner)
    settings = recipe(max_refills=2, max_steps=1)
    position = rl.train(learner, Constant(learner, outcome), TASKS, settings, 0, tmp_path)
    line = read_metrics(tmp_path)[0]
    assert position.drawn == line["tasks_drawn"] == line[key] == 3 * settings.tasks_per_step
    assert line["tasks_used"] == line["updates"] == line["loss"] == 0
    assert torch.equal(weights(learner), before)


def test_refills_ask_only_for_what_is_missing(tmp_path):
    learner = make_learner()
    collected = collect(Judged(learner), TASKS, recipe(max_refills=20, tasks_per_step=5), Position(), 0, tmp_path)
    assert len(collected.used) == 5
    assert all(group.teaches for group in collected.used)
    assert not any(group.teaches for group in collected.dropped)


def with_outcomes(group: Group, outcomes: list[Outcome]) -> Group:
    changed = (a.model_copy(update={"outcome": o}) for a, o in zip(group.attempts_G, outcomes, strict=False))
    return Group(group.task, tuple(changed))


def test_void_attempts_have_no_reward_and_no_row(groups):
    outcomes = [Outcome.CORRECT, Outcome.VOID, Outcome.WRONG, Outcome.UNLABELLED, Outcome.WRONG]
    scored = score([with_outcomes(groups[0], outcomes)], recipe(reward_wrong=-1.0), 0)
    assert scored.rewards_B == (1.0, -1.0, -1.0)
    pack = to_pack(scored, range(3))
    assert pack is not None
    assert pack.num_sequences == 3


def test_dropped_groups_are_counted_by_reason(groups):
    correct, void = Outcome.CORRECT, Outcome.VOID
    collected = Collected(
        [], [with_outcomes(groups[0], [correct] * 4), with_outcomes(groups[1], [correct, void, void])]
    )
    figures = rl_metrics.task_figures(collected)
    assert (figures["tasks_all_correct"], figures["tasks_all_wrong"], figures["tasks_too_few_labelled"]) == (1, 0, 1)


def test_advantages_stand_on_trained_tokens_and_come_from_the_whole_group(groups):
    scored = score(groups[:1], recipe(), 0)
    pack = to_pack(scored, range(len(scored.attempts_B)))
    assert pack is not None
    for n, advantage in enumerate(scored.advantages_B):
        of_row = pack.sequence_ids_T == n
        assert torch.allclose(pack.advantages_T[of_row & pack.trained_T], torch.tensor(advantage, dtype=torch.float32))
        assert not pack.advantages_T[of_row & ~pack.trained_T].any()
    masked = replace(scored, masked_B=(True, *scored.masked_B[1:]))
    rest = to_pack(masked, range(len(scored.attempts_B)))
    assert rest is not None
    assert rest.num_sequences == pack.num_sequences - 1
    assert torch.equal(rest.advantages_T, pack.advantages_T[pack.sequence_ids_T > 0])


@pytest.mark.parametrize("is_empty", [False, True], ids=["masked", "empty"])
@pytest.mark.parametrize("method", METHODS)
def test_a_batch_that_teaches_nothing_is_a_finite_zero_without_a_step(groups, method, is_empty):
    """Every attempt masked, or no group left (all right or all wrong)."""
    settings = recipe(
        **with_method(
            {"method": method, "overlong_cache_tokens": 0, "constant_tokens": 64 if method == "dr_grpo" else None}
        )
    )
    scored = score([] if is_empty else groups, settings, 0)
    learner = make_learner()
    before = weights(learner)
    tally = update(learner, replace(scored, masked_B=tuple(True for _ in scored.masked_B)), settings, 1e-2, 0)
    assert (tally.loss, tally.updates, tally.trained) == (0.0, 0, 0)
    assert all(figure is None or isfinite(figure) for figure in rl_metrics.update_figures(tally).values())
    assert torch.equal(weights(learner), before)


def with_failed_call(attempt: Attempt, outcome: Outcome) -> Attempt:
    call = CallRecord(id="call_1", name="python", arguments="{}", status=CallStatus.ERROR, result="Error")
    first = attempt.turns[0].model_copy(update={"calls": (call,)})
    return attempt.model_copy(update={"turns": (first, *attempt.turns[1:]), "outcome": outcome})


def test_filters_mask_after_advantages(groups):
    group = groups[0]
    right, wrong = (with_failed_call(group.attempts_G[0], outcome) for outcome in (Outcome.CORRECT, Outcome.WRONG))
    cut_turn = group.attempts_G[1].turns[0].model_copy(update={"text": "<tool_call>"})
    cut = group.attempts_G[1].model_copy(update={"turns": (cut_turn,), "outcome": Outcome.CORRECT})
    mixed = [Group(group.task, (right, wrong, cut))]
    masks = {
        (False, False): (False, False, False),
        (True, False): (False, True, False),
        (False, True): (False, False, True),
        (True, True): (False, True, True),
    }
    for (c1, void), expected in masks.items():
        scored = score(mixed, recipe(filter_c1=c1, mask_void_turns=void), 0)
        assert scored.masked_B == expected
        assert scored.advantages_B == score(mixed, recipe(), 0).advantages_B


def test_overlong_shaping_counts_results_or_not(groups):
    """Two turns: 6 tokens each, and a tool result (here: as long as the prompt) between."""
    base = groups[0].attempts_G[0]
    turn = base.turns[0]
    attempt = base.model_copy(update={"turns": (turn, turn)})
    between, written = len(turn.context_ids_T), 2 * len(turn.sampled_ids_T)
    assert num_response_tokens(attempt, True) == written + between
    assert num_response_tokens(attempt, False) == written
    both = tuple(attempt.model_copy(update={"outcome": o}) for o in (Outcome.WRONG, Outcome.CORRECT))
    whole = {"overlong_max_tokens": written + between, "overlong_cache_tokens": written + between}
    shaped = score([Group(groups[0].task, both)], recipe(**whole), 0)
    assert shaped.penalties_B == (-1.0, -1.0)
    assert shaped.rewards_B == (-1.0, 0.0)
    lenient = score([Group(groups[0].task, both)], recipe(**whole, overlong_counts_results=False), 0)
    assert lenient.penalties_B[0] == pytest.approx(-written / (written + between))


def test_the_task_s_own_limit_is_where_the_penalty_is_one(groups):
    attempt, task = groups[0].attempts_G[0], groups[0].task
    turn = attempt.turns[0]
    room = task.limits.max_tokens - len(turn.context_ids_T)
    full = turn.model_copy(update={"sampled_ids_T": (1,) * room})
    assert penalty(attempt.model_copy(update={"turns": (full,)}), task, recipe(overlong_cache_tokens=50)) == -1.0
    assert penalty(attempt, task, recipe(overlong_cache_tokens=50)) == 0.0


def test_minibatches_take_whole_groups_once(groups):
    scored = score(groups, recipe(), 0)
    parts = minibatch_members(scored, recipe(num_minibatches=2), 1)
    assert sorted(i for part in parts for i in part) == list(range(len(scored.attempts_B)))
    assert not {scored.groups_B[i] for i in parts[0]} & {scored.groups_B[i] for i in parts[1]}


def test_the_sampler_s_logprobs_are_the_trainer_s(groups):
    pack = from_rows(sampled_row(a) for group in groups for a in group.attempts_G)
    ours, _ = make_learner().logprobs(pack)
    torch.testing.assert_close(ours.detach(), pack.logprobs_T, atol=1e-5, rtol=0)


def test_recomputed_logprobs_of_the_same_policy_change_nothing_but_rounding(groups):
    scored, results = score(groups, recipe(), 0), []
    for settings in (recipe(num_minibatches=1), recipe(num_minibatches=1, **CORRECTED)):
        learner = make_learner()
        tally = update(learner, scored, settings, 1e-3, 0)
        results.append((tally.loss, weights(learner)))
        assert tally.gap_tokens == tally.trained > 0
        assert tally.max_gap < 1e-5
    assert results[0][0] == pytest.approx(results[1][0], abs=1e-5)
    torch.testing.assert_close(results[0][1], results[1][1], atol=1e-4, rtol=0)
