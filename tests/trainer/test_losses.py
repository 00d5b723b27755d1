"""Losses against values by hand, a slow version and TRL; laws of packing and masking."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import qwen_model, qwen_tokenizer
from tests.trainer.packs import make_model, random_pack, row_lists
from trainer.losses import (
    AGGREGATIONS,
    Aggregation,
    Clip,
    grpo_loss,
    grpo_token_losses,
    log_ratio,
    sequence_mean_weights,
    sft_loss,
    surrogate_stats,
    token_mean_weights,
    truncated_importance_weights,
)
from trainer.model import token_logprobs
from trainer.packing import Pack, from_rows

CLIP = Clip(low=0.2, high=0.28, dual=3.0)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.0, 2.0, -2.0),
        (1.2, 2.0, -2.4),
        (1.5, 2.0, -2.56),  # clipped at 1.28
        (0.5, 2.0, -1.0),  # no lower clip for a positive advantage
        (0.5, -2.0, 1.6),  # clipped at .8
        (1.5, -2.0, 3.0),  # no upper clip for a negative advantage
        (5.0, -2.0, 6.0),  # dual clip at 3
        (5.0, 0.0, 0.0),
    ],
)
def test_surrogate_by_hand(ratio, advantage, loss):
    got = grpo_token_losses(torch.tensor([math.log(ratio)]), torch.zeros(1), torch.tensor([advantage]), CLIP)
    assert float(got) == pytest.approx(loss, rel=1e-6)


@given(st.floats(-3, 3), st.floats(-2, 2))
def test_surrogate_equals_its_definition(log, advantage):
    ratio = math.exp(log)
    bounded = min(max(ratio, 0.8), 1.28)
    value = min(ratio * advantage, bounded * advantage)
    if advantage < 0:
        value = max(value, 3.0 * advantage)
    got = grpo_token_losses(
        torch.tensor([log], dtype=torch.float64), torch.zeros(1), torch.tensor([advantage], dtype=torch.float64), CLIP
    )
    assert float(got) == pytest.approx(-value, abs=1e-9)


def test_an_infinite_ratio_is_clamped():
    logs = torch.tensor([0.0, -1e30], requires_grad=True)
    loss = grpo_token_losses(logs, torch.tensor([-1e30, 0.0]), torch.tensor([1.0, -1.0]), CLIP).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logs.grad).all()
    assert log_ratio(torch.tensor([100.0]), torch.zeros(1)).tolist() == [20.0]


def test_on_policy_gradient_is_minus_advantage():
    logs = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    advantages = torch.tensor([1.0, -2.0, 0.5])
    grpo_loss(logs, logs.detach(), advantages, torch.ones(3) / 3, CLIP).backward()
    torch.testing.assert_close(logs.grad, -advantages / 3)


def test_weights_by_hand():
    trained = torch.tensor([False, True, True, False, True, False, False])
    sequences = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    assert token_mean_weights(trained, sequences).tolist() == pytest.approx([0, 1 / 3, 1 / 3, 0, 1 / 3, 0, 0])
    assert sequence_mean_weights(trained, sequences).tolist() == pytest.approx([0, 1 / 4, 1 / 4, 0, 1 / 2, 0, 0])


@pytest.mark.parametrize("aggregation", list(Aggregation))
def test_nothing_trained_weighs_nothing(aggregation):
    weights = AGGREGATIONS[aggregation](torch.zeros(4, dtype=torch.bool), torch.tensor([0, 0, 1, 1]))
    assert weights.tolist() == [0, 0, 0, 0]


def test_truncated_importance_weights_by_hand():
    old, behaviour = torch.tensor([-1.0, -1.0, -2.0]), torch.tensor([-1.0, -3.0, -1.0])
    expected = [1.0, 2.0, math.exp(-1)]
    assert truncated_importance_weights(old, behaviour, cap=2.0).tolist() == pytest.approx(expected)


def test_stats_count_what_clipping_did():
    logs = torch.log(torch.tensor([1.5, 0.5, 5.0, 1.0, 9.0]))
    stats = surrogate_stats(
        logs, torch.zeros(5), torch.tensor([1.0, -1.0, -1.0, 1.0, 1.0]), torch.tensor([True] * 4 + [False]), CLIP
    )
    assert (stats.num_tokens, stats.clipped_high, stats.clipped_low, stats.clipped_dual) == (4, 1, 1, 1)
    assert stats.max_ratio == pytest.approx(5.0)
    assert stats.kl == pytest.approx(sum(r - 1 - math.log(r) for r in (1.5, 0.5, 5.0, 1.0)), rel=1e-5)


@pytest.fixture(scope="module")
def net():
    return make_model(1)


def weighted(pack: Pack, aggregation: Aggregation) -> Pack:
    return replace(pack, weights_T=AGGREGATIONS[aggregation](pack.trained_T, pack.sequence_ids_T))


def gradient(net, packs: list[Pack]) -> tuple[float, torch.Tensor]:
    """Loss and gradient of an RL loss accumulated over packs."""
    net.zero_grad()
    total = 0.0
    for pack in packs:
        logprobs, _ = token_logprobs(net, pack)
        loss = grpo_loss(logprobs, pack.logprobs_T, pack.advantages_T, pack.weights_T, CLIP)
        loss.backward()
        total += float(loss.detach())
    return total, torch.cat([p.grad.flatten() for p in net.parameters()])


@settings(max_examples=12, deadline=None)
@given(row_lists(), st.sampled_from(list(Aggregation)), st.integers(0, 100))
def test_accumulated_gradient_is_the_whole_batch_gradient(net, rows, aggregation, seed):
    pack = from_rows(rows)
    g = torch.Generator().manual_seed(seed)
    pack = weighted(replace(pack, advantages_T=torch.randn(pack.num_tokens, generator=g)), aggregation)
    whole, whole_grad = gradient(net, [pack])
    parts, parts_grad = gradient(net, pack.split(12))
    alone, alone_grad = gradient(net, [pack.take(torch.tensor([i])) for i in range(pack.num_sequences)])
    assert parts == pytest.approx(whole, abs=1e-5)
    assert alone == pytest.approx(whole, abs=1e-5)
    torch.testing.assert_close(parts_grad, whole_grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(alone_grad, whole_grad, atol=1e-5, rtol=1e-4)


def test_untrained_tokens_have_exactly_zero_gradient():
    """Advantages, old log-probs and targets of tool tokens can be anything: not one bit of the gradient moves."""
    pack = weighted(random_pack(6, seed=2), Aggregation.TOKEN_MEAN)
    pack = replace(pack, advantages_T=torch.ones(pack.num_tokens))
    wild = replace(
        pack,
        advantages_T=torch.where(pack.trained_T, pack.advantages_T, 1e6),
        logprobs_T=torch.where(pack.trained_T, pack.logprobs_T, -50.0),
    )
    first, second = gradient(make_model(1), [pack]), gradient(make_model(1), [wild])
    assert first[0] == second[0]
    assert torch.equal(first[1], second[1])


def test_a_last_untrained_token_is_no_target():
    """The last token of a row is read by nobody: another one in its place changes nothing at all."""
    pack = weighted(random_pack(5, seed=9), Aggregation.TOKEN_MEAN)
    last = pack.offsets_N1[1:] - 1
    trained = pack.trained_T.clone()
    trained[last] = False
    pack = weighted(replace(pack, trained_T=trained, advantages_T=torch.ones(pack.num_tokens)), Aggregation.TOKEN_MEAN)
    tokens = pack.tokens_T.clone()
    tokens[last] = (tokens[last] + 1) % 300
    other = replace(pack, tokens_T=tokens)
    assert gradient(make_model(1), [pack])[0] == gradient(make_model(1), [other])[0]


def test_sft_loss_is_mean_cross_entropy(net):
    pack = weighted(random_pack(4, seed=7), Aggregation.TOKEN_MEAN)
    logprobs, _ = token_logprobs(net, pack)
    expected = -logprobs[pack.trained_T].mean()
    torch.testing.assert_close(sft_loss(logprobs, pack.weights_T), expected)


@pytest.fixture(scope="module")
def trl_trainer(tmp_path_factory):
    """TRL's own trainer over the same weights: DAPO aggregation, clip .2/.28, two-sided clip at 3, no KL."""
    trl = pytest.importorskip("trl", reason="trl is a development dependency")
    datasets = pytest.importorskip("datasets")
    config = trl.GRPOConfig(
        output_dir=str(tmp_path_factory.mktemp("trl")),
        use_cpu=True,
        report_to="none",
        loss_type="dapo",
        epsilon=CLIP.low,
        epsilon_high=CLIP.high,
        delta=CLIP.dual,
        beta=0.0,
        per_device_train_batch_size=2,
        num_generations=2,
        bf16=False,
    )
    return trl.GRPOTrainer(
        model=qwen_model(1),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        train_dataset=datasets.Dataset.from_dict({"prompt": ["x", "y"]}),
        processing_class=qwen_tokenizer(),
    )


def trl_inputs(pack: Pack, advantages_N: torch.Tensor) -> dict[str, torch.Tensor]:
    """The pack as TRL takes it: first tokens as prompts, the rest padded on the right, tools masked."""

    def grid(flat: torch.Tensor) -> torch.Tensor:
        rows = [flat[a + 1 : b] for a, b in zip(pack.offsets_N1[:-1], pack.offsets_N1[1:], strict=True)]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    return {
        "prompt_ids": pack.tokens_T[pack.offsets_N1[:-1]][:, None],
        "prompt_mask": torch.ones(pack.num_sequences, 1, dtype=torch.long),
        "completion_ids": grid(pack.tokens_T),
        "completion_mask": grid(torch.ones_like(pack.tokens_T)),
        "tool_mask": grid(pack.trained_T.long()),
        "old_per_token_logps": grid(pack.logprobs_T),
        "advantages": advantages_N,
        "num_items_in_batch": pack.trained_T.sum(),
    }


def test_equals_trl_s_grpo_loss_and_gradient(net, trl_trainer):
    pack = random_pack(6, seed=11)
    g = torch.Generator().manual_seed(3)
    advantages = torch.randn(6, generator=g)
    noise = 0.6 * torch.randn(pack.num_tokens, generator=g)
    old = (token_logprobs(net, pack)[0].detach() + noise) * pack.trained_T
    pack = replace(pack, advantages_T=advantages[pack.sequence_ids_T] * pack.trained_T, logprobs_T=old)
    loss, ours = gradient(net, [weighted(pack, Aggregation.TOKEN_MEAN)])
    model = trl_trainer.model.eval()
    model.zero_grad()
    theirs = trl_trainer._compute_loss(model, trl_inputs(pack, advantages))
    theirs.backward()
    assert loss == pytest.approx(float(theirs.detach()), abs=1e-6)
    torch.testing.assert_close(ours, torch.cat([p.grad.flatten() for p in model.parameters()]), atol=1e-5, rtol=1e-3)
