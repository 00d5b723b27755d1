"""Packed numbers are the plain model's numbers."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from tests.tiny import qwen_model
from tests.trainer.packs import VOCABULARY, make_learner, make_model, random_pack
from trainer import attention
from trainer.model import load_model, parameter_counts, token_logprobs
from trainer.norms import rms_norm, speed_up_norms
from trainer.packing import Pack


def plain_logprobs(plain, pack: Pack, temperature: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """One forward pass per sequence, full logits, log_softmax: slow and obvious."""
    logprobs, entropies = torch.zeros(pack.num_tokens), torch.zeros(pack.num_tokens)
    for start, end in zip(pack.offsets_N1[:-1].tolist(), pack.offsets_N1[1:].tolist(), strict=True):
        logits = plain(input_ids=pack.tokens_T[None, start:end]).logits[0].float() / temperature
        logs = logits.log_softmax(-1)
        for t in range(start + 1, end):
            if pack.trained_T[t]:
                row = logs[t - 1 - start]
                logprobs[t] = row[pack.tokens_T[t]]
                entropies[t] = -(row.exp() * row).sum()
    return logprobs, entropies


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (4, 1)])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_packed_equals_one_by_one(heads, temperature):
    shape = {"num_attention_heads": heads[0], "num_key_value_heads": heads[1]}
    pack = random_pack(9, seed=4)
    packed, entropy = token_logprobs(make_model(1, **shape), pack, temperature)
    expected, expected_entropy = plain_logprobs(qwen_model(1, **shape), pack, temperature)
    torch.testing.assert_close(packed, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(entropy, expected_entropy, atol=1e-5, rtol=0)


def test_parameters_are_counted_by_part_and_once():
    made = make_model(1)
    counts = parameter_counts(made)
    total = counts.pop("parameters")
    assert total == sum(counts.values()) == sum({id(p): p.numel() for p in made.parameters()}.values())
    assert counts["parameters_embedding"] == made.get_input_embeddings().weight.numel()
    assert counts["parameters_mlp"] == sum(p.numel() for layer in made.model.layers for p in layer.mlp.parameters())


def test_packed_hidden_states_equal_plain_ones_at_every_token():
    pack = random_pack(6, seed=8)
    packed = make_model(2).base_model(
        input_ids=pack.tokens_T[None],
        position_ids=pack.positions_T[None],
        attention_mask=attention.no_dense_mask(torch.device("cpu")),
        segments=attention.Segments(pack, None),
    )
    plain = qwen_model(2)
    bounds = pack.offsets_N1.tolist()
    parts = [plain.model(input_ids=pack.tokens_T[None, a:b]).last_hidden_state[0] for a, b in pairwise(bounds)]
    torch.testing.assert_close(packed.last_hidden_state[0], torch.cat(parts), atol=1e-5, rtol=0)


def test_gradients_equal_the_plain_model_s():
    pack = random_pack(7, seed=5)
    packed, plain = make_model(3), qwen_model(3)
    (token_logprobs(packed, pack, 0.8)[0] * pack.weights_T).sum().backward()
    (plain_logprobs(plain, pack, 0.8)[0] * pack.weights_T).sum().backward()
    for (name, ours), theirs in zip(packed.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=2e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_without_segments_it_is_the_plain_model():
    """The sampler runs padded rows through the same object."""
    tokens = torch.randint(0, VOCABULARY, (3, 10), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(3, 10, dtype=torch.long)
    mask[1, :4] = 0
    ours = make_model(0)(input_ids=tokens, attention_mask=mask).logits
    theirs = qwen_model(0)(input_ids=tokens, attention_mask=mask).logits
    torch.testing.assert_close(ours[mask.bool()], theirs[mask.bool()], atol=1e-6, rtol=0)


def kept_bytes(net, pack: Pack) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Loss, gradient, and the bytes that the forward pass keeps for the backward pass beside the weights themselves."""
    ours, kept = {w.untyped_storage().data_ptr() for w in net.parameters()}, dict[int, int]()

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in ours:
            kept[place] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = (token_logprobs(net, pack)[0] * pack.weights_T).sum()
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in net.parameters()]), sum(kept.values())


@pytest.mark.parametrize("fast_norms", [False, True])
def test_gradient_checkpointing_changes_no_bit_and_keeps_one_hidden_state_a_layer(fast_norms):
    pack, found, num_layers = random_pack(60, seed=6), [], 6
    for checkpointing in (False, True):
        net = make_model(0, num_hidden_layers=num_layers).train()
        if fast_norms:
            speed_up_norms(net)
        if checkpointing:
            net.gradient_checkpointing_enable()
        found.append(kept_bytes(net, pack))
    (loss, gradient, kept), (same_loss, same_gradient, kept_less) = found
    assert torch.equal(loss, same_loss)
    assert torch.equal(gradient, same_gradient)
    hidden_bytes = pack.num_tokens * net.config.hidden_size * 4
    assert kept > 10 * num_layers * hidden_bytes
    assert num_layers * hidden_bytes < kept_less < (num_layers + 15) * hidden_bytes


def test_fast_norms_pass_gradcheck():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 5, generator=g, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, generator=g, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: rms_norm(x, w, 1e-6), (x, weight))
    expected = torch.nn.functional.rms_norm(x, (5,), weight, 1e-6)
    torch.testing.assert_close(rms_norm(x, weight, 1e-6), expected)


def test_fast_norms_change_numbers_by_rounding_only():
    pack, results = random_pack(6, seed=5), []
    for fast in (False, True):
        net = make_model(3)
        num = speed_up_norms(net) if fast else None
        logprobs, _ = token_logprobs(net, pack)
        (logprobs * pack.weights_T).sum().backward()
        results.append((logprobs.detach(), torch.cat([p.grad.flatten() for p in net.parameters()])))
    assert num == 2 * 4 + 1  # two layers with four norms each, and the last one
    for plain, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, atol=2e-5, rtol=1e-4)


def test_a_pack_without_trained_tokens_gives_a_finite_zero_with_zero_gradient():
    pack = random_pack(3, seed=1)
    empty = replace(pack, trained_T=torch.zeros_like(pack.trained_T))
    learner = make_learner()
    logprobs, _ = learner.logprobs(empty)
    loss = (logprobs * empty.weights_T).sum()
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(p.grad is None or not p.grad.any() for p in learner.model.parameters())


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no folder .*nowhere.*checkpoint"):
        load_model(tmp_path / "nowhere")


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ValueError, match="holds no model"):
        load_model(tmp_path)
