"""Every method through a whole update, on attempts with a tool result between two turns."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from data_contracts.attempts import Attempt, CallRecord, CallStatus, Outcome
from rollout.rows import sampled_row
from tests.trainer.packs import make_learner
from tests.trainer.test_resume import weights
from tests.trainer.test_rl import TASKS, Judged, recipe
from trainer.checkpoints import Position
from trainer.collection import Group, collect
from trainer.filters import is_masked
from trainer.methods import METHODS
from trainer.packing import from_rows
from trainer.scoring import Scored, first_turn_after_tool, outcome_reward, score, to_pack
from trainer.shaping import After, EntropyBonus
from trainer.update import update

OK, ERROR = CallStatus.OK, CallStatus.ERROR


def played(attempt: Attempt, statuses: list[CallStatus], outcome: Outcome) -> Attempt:
    """The attempt with a first turn that made these calls, and its turn again as the answer."""
    calls = tuple(
        CallRecord(id=f"call_{i}", name="python", arguments="{}", status=s, result="1") for i, s in enumerate(statuses)
    )
    (turn,) = attempt.turns[:1]
    turns = (turn.model_copy(update={"calls": calls}), turn.model_copy(update={"calls": ()}))
    return attempt.model_copy(update={"turns": turns, "outcome": outcome})


@pytest.fixture(scope="module")
def groups(tmp_path_factory) -> list[Group]:
    """Three groups of four: right and wrong, calls that succeeded and that failed."""
    learner = make_learner()
    settings = recipe(tasks_per_step=6, group_size=6)
    used = collect(Judged(learner), TASKS, settings, Position(), 0, tmp_path_factory.mktemp("groups")).used
    plans = [([OK], Outcome.CORRECT), ([ERROR], Outcome.WRONG), ([ERROR, OK], Outcome.WRONG), ([], Outcome.CORRECT)]
    return [
        Group(group.task, tuple(played(a, *plan) for a, plan in zip(group.attempts_G, plans, strict=False)))
        for group in used[:3]
    ]


def settled(scored: Scored, **changes) -> tuple[float, torch.Tensor]:
    """Loss of one update, and the weights after it."""
    learner = make_learner()
    learner.reference = deepcopy(learner.model)
    tally = update(learner, scored, recipe(num_minibatches=1, **changes), 1e-2, 0)
    assert tally.nonfinite == 0
    assert tally.updates == 1
    return tally.loss, weights(learner)


def test_every_method_makes_a_finite_step(groups):
    before = weights(make_learner())
    for name in METHODS:
        changes = {"constant_tokens": 64} if name == "dr_grpo" else {}
        settings = recipe(num_minibatches=1, method=name, min_usable_attempts=0, overlong_cache_tokens=0, **changes)
        learner = make_learner()
        learner.reference = deepcopy(learner.model)
        tally = update(learner, score(groups, settings, 0), settings, 1e-2, 0)
        assert (tally.updates, tally.nonfinite) == (1, 0), name
        assert not torch.equal(weights(learner), before), name


def test_a_strength_of_zero_is_grpo_bit_for_bit(groups):
    scored = score(groups, recipe(), 0)
    plain = settled(scored, recompute_logprobs=True)
    assert plain[0] == (zero := settled(scored, recompute_logprobs=True, entropy_bonus={"strength": 0.0}))[0]
    assert torch.equal(plain[1], zero[1])


def slow_tao_loss(scored: Scored, bonus: EntropyBonus) -> float:
    """The paper's formula, attempt by attempt in Python floats; on policy, so that every ratio is one."""
    learner, rows = make_learner(), []
    for attempt, group, advantage in zip(scored.attempts_B, scored.groups_B, scored.advantages_B, strict=True):
        pack = from_rows([sampled_row(attempt)])
        entropies = learner.logprobs(pack)[1].tolist()
        after = pack.turns_T >= first_turn_after_tool(attempt, bonus.after)
        rows += [(group, advantage, entropies[t], bool(after[t])) for t in range(pack.num_tokens) if pack.trained_T[t]]
    total = 0.0
    for group in set(scored.groups_B):
        inside = [row for row in rows if row[0] == group]
        mean = sum(row[2] for row in inside) / len(inside)
        std = (sum((row[2] - mean) ** 2 for row in inside) / len(inside)) ** 0.5
        looked = sorted((row[2] for row in inside if row[3]), reverse=True)
        threshold = looked[-(-len(looked) // 5) - 1]
        for _, advantage, entropy, later in inside:
            gated = later and entropy >= threshold
            total -= advantage * (1 + bonus.strength * gated * (entropy - mean) / std)
    return total / len(rows)


@pytest.mark.parametrize("strength", [0.01, 0.5])
def test_tao_s_loss_is_the_paper_s(groups, strength):
    scored = score(groups, recipe(), 0)
    bonus = EntropyBonus(strength=strength, share=0.2)
    loss, _ = settled(scored, recompute_logprobs=True, entropy_bonus=bonus.plain())
    assert loss == pytest.approx(slow_tao_loss(scored, bonus), abs=1e-5)
    assert loss != pytest.approx(slow_tao_loss(scored, EntropyBonus(strength=0.0)), abs=1e-6)


@pytest.mark.parametrize(
    "method", ["tao", "tao_placebo_random", "grpo_scr", "entropy_80_20", "reasoning_with_exploration"]
)
def test_order_and_micro_batches_change_nothing(groups, method):
    shape = {"method": method, "min_usable_attempts": 0, "overlong_cache_tokens": 0, "num_minibatches": 1}
    results = []
    for tokens, order in ((4096, 1), (700, 1), (4096, -1)):
        settings = recipe(**shape, tokens_per_microbatch=tokens)
        turned = [Group(group.task, group.attempts_G[::order]) for group in groups]
        learner = make_learner()
        loss = update(learner, score(turned, settings, 0), settings, 1e-3, 0).loss
        results.append((loss, weights(learner)))
    for loss, after in results[1:]:
        assert loss == pytest.approx(results[0][0], abs=1e-5)
        torch.testing.assert_close(after, results[0][1], atol=2e-5, rtol=0)


def test_the_reward_for_calls_reaches_the_gradient(groups):
    """Two right attempts, one of which called: equal outcomes teach nothing, unless calls are paid for."""
    first, second = groups[0].attempts_G[:2]
    pair = (played(first, [OK, OK], Outcome.CORRECT), played(second, [], Outcome.CORRECT))
    alike = [Group(groups[0].task, pair)]
    assert score(alike, recipe(), 0).advantages_B == (0.0, 0.0)
    paid = {"reward_per_call": 0.1, "reward_wrong_at_most": -0.5}
    scored = score(alike, recipe(**paid), 0)
    assert scored.rewards_B == pytest.approx((1.2, 1.0))
    assert scored.advantages_B[0] > 0 > scored.advantages_B[1]
    pack = to_pack(scored, [0])
    assert pack is not None
    assert (pack.advantages_T[pack.trained_T] > 0).all()
    assert not torch.equal(settled(scored)[1], settled(score(alike, recipe(), 0))[1])


def test_rewards_for_calls_by_hand(groups):
    attempt = groups[0].attempts_G[0]
    settings = recipe(reward_wrong=-1.0, reward_per_call=0.1, reward_wrong_at_most=-0.75)
    wrong = [outcome_reward(played(attempt, [OK] * n, Outcome.WRONG), settings) for n in (0, 2, 9)]
    assert [sum(parts) for parts in wrong] == pytest.approx([-1.0, -0.8, -0.75])
    strict = recipe(reward_per_call=0.1, reward_wrong_at_most=0.0, reward_needs_success=True, reward_max_calls=2)
    right = [outcome_reward(played(attempt, s, Outcome.CORRECT), strict) for s in ([ERROR, OK], [OK] * 3)]
    assert [sum(parts) for parts in right] == pytest.approx([1.1, 1.2])


def test_after_a_tool(groups):
    attempt = groups[0].attempts_G[0]
    failed, ran = played(attempt, [ERROR], Outcome.WRONG), played(attempt, [OK], Outcome.WRONG)
    assert [first_turn_after_tool(a, After.ANY_CALL) for a in (failed, ran)] == [1, 1]
    assert [first_turn_after_tool(a, After.SUCCESSFUL_CALL) for a in (failed, ran)] == [2, 1]


def test_c1_s_open_choices(groups):
    group = groups[0]
    straight = score([group], recipe(filter_c1=True), 0)
    assert straight.masked_B == (False, True, False, False)
    after = score([group], recipe(filter_c1=True, advantages_after_c1=True), 0)
    assert after.advantages_B[1] == 0.0
    assert sum(after.advantages_B) == pytest.approx(0, abs=1e-6)
    assert after.advantages_B[0] != pytest.approx(straight.advantages_B[0])
    silent = played(group.attempts_G[0], [], Outcome.WRONG)
    assert not is_masked(silent, recipe(filter_c1=True))
    assert is_masked(silent, recipe(filter_c1=True, c1_keep_without_call=False))


def test_groups_with_too_few_usable_attempts_are_refilled(tmp_path):
    learner = make_learner()
    settings = recipe(mask_void_turns=True, min_usable_attempts=4, max_refills=1)

    class Void(Judged):
        def attempts(self, jobs, moment):
            blank = {"text": "<tool_call>"}
            found = super().attempts(jobs, moment)
            return [
                a.model_copy(update={"turns": (a.turns[0].model_copy(update=blank),)}) if i % 4 == 0 else a
                for i, a in enumerate(found)
            ]

    collected = collect(Void(learner), TASKS, settings, Position(), 0, tmp_path)
    assert not collected.used
    assert collected.num_unusable == sum(group.teaches for group in collected.all) > 0


def test_the_divergence_from_the_start_is_zero_at_the_start(groups):
    scored, settings = score(groups, recipe(), 0), recipe(num_minibatches=1, kl_coefficient=0.5)
    learner = make_learner()
    learner.reference = deepcopy(learner.model).requires_grad_(False)
    first = update(learner, scored, settings, 1e-2, 0)
    second = update(learner, scored, settings, 1e-2, 0)
    assert first.reference_kl == pytest.approx(0, abs=1e-6)
    assert second.reference_kl > 1e-4
    pulled, free = make_learner(), make_learner()
    pulled.reference = deepcopy(pulled.model).requires_grad_(False)
    for _ in range(2):
        update(pulled, scored, recipe(num_minibatches=1, kl_coefficient=50.0), 1e-3, 0)
        update(free, scored, recipe(num_minibatches=1), 1e-3, 0)
    start = weights(make_learner())
    assert (weights(pulled) - start).abs().sum() != (weights(free) - start).abs().sum()


def test_an_advantage_without_division(groups):
    scored = score(groups[:1], recipe(divide_by_std=False), 0)
    assert scored.advantages_B == pytest.approx((0.5, -0.5, -0.5, 0.5))


def test_masked_rows_leave_the_mean(groups):
    """Denominators are taken after masks: a masked attempt changes nothing that is left."""
    scored = score(groups, recipe(), 0)
    masked = replace(scored, masked_B=(True, *scored.masked_B[1:]))
    gone = replace(
        scored,
        **{name: getattr(scored, name)[1:] for name in Scored.__dataclass_fields__},
    )
    assert settled(masked)[0] == pytest.approx(settled(gone)[0], abs=1e-6)


def test_shared_prefixes_change_an_update_by_rounding_only(groups):
    scored, found = score(groups, recipe(), 0), []
    for share in (False, True):
        learner = make_learner()
        learner.share_prefixes = share
        tally = update(learner, scored, recipe(num_minibatches=1, share_prefixes=share), 1e-2, 0)
        found.append((tally.loss, tally.entropy, tally.max_gap, *tally.norms))
    assert found[0] != found[1]
    assert found[1] == pytest.approx(found[0], rel=1e-4, abs=1e-5)
