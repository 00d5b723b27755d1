"""Sampling: exact log-probabilities, independence of the batch, the stated distribution."""

import numpy as np
import pytest
import torch

from rollout.engines import Finish, Request
from rollout.engines.transformers import Sampling, TransformersEngine, draw
from tests.tiny import qwen_model, qwen_tokenizer

END = qwen_tokenizer().eos_token_id
PAD = qwen_tokenizer().pad_token_id


def request(prompt: tuple[int, ...], seed: int, max_tokens: int = 24) -> Request:
    return Request(prompt_ids_T=prompt, messages=(), tools=(), max_tokens=max_tokens, seed=seed)


def engine(model=None, **changes) -> TransformersEngine:
    sampling = Sampling(**({"max_turn_tokens": 24} | changes))
    return TransformersEngine(model or qwen_model(), END, PAD, sampling, batch_size=8)


PROMPTS = [(5, 6, 7), (5, 6, 7), (9,), (3, 4, 5, 6, 7, 8, 9, 10), (5, 6, 7)]
REQUESTS = [request(prompt, seed) for seed, prompt in enumerate(PROMPTS)]


def test_log_probabilities_are_those_of_one_plain_forward_pass() -> None:
    model = qwen_model()
    for asked, done in zip(REQUESTS, engine(model, temperature=0.7).sample(REQUESTS), strict=True):
        ids = torch.tensor([[*asked.prompt_ids_T, *done.ids_T]])
        with torch.no_grad():
            logprobs = (model(ids).logits.float() / 0.7).log_softmax(-1)[0]
        start = len(asked.prompt_ids_T)
        expected = [logprobs[start + i - 1, token].item() for i, token in enumerate(done.ids_T)]
        np.testing.assert_allclose(done.logprobs_T, expected, atol=2e-5)


def test_a_row_does_not_depend_on_its_batch() -> None:
    together = engine().sample(REQUESTS)
    alone = [engine().sample([r])[0] for r in REQUESTS]
    assert [c.ids_T for c in together] == [c.ids_T for c in alone]
    np.testing.assert_allclose(
        np.concatenate([c.logprobs_T for c in together]), np.concatenate([c.logprobs_T for c in alone]), atol=2e-5
    )


def test_equal_seeds_repeat_and_other_seeds_differ() -> None:
    one, again, other = (engine().sample([request((5, 6, 7), seed)])[0].ids_T for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_stops_at_the_end_token_or_the_limit() -> None:
    model = qwen_model()
    with torch.no_grad():
        model.model.embed_tokens.weight[END] *= 6
    completions = engine(model).sample([request((5, 6, 7), seed) for seed in range(40)])
    for done in completions:
        assert (done.finish is Finish.END) == (done.ids_T[-1] == END)
        assert END not in done.ids_T[:-1]
        assert len(done.ids_T) == len(done.logprobs_T) <= 24
    assert {done.finish for done in completions} == {Finish.END, Finish.LENGTH}
    assert all(len(c.ids_T) <= 3 for c in engine().sample([request((5,), 0, max_tokens=3)]))


def test_greedy_is_the_argmax_of_generate() -> None:
    model = qwen_model()
    done = engine(model, temperature=0).sample([request((5, 6, 7), 0)])[0]
    upstream = model.generate(torch.tensor([[5, 6, 7]]), do_sample=False, max_new_tokens=24, eos_token_id=END)
    assert list(done.ids_T) == upstream[0, 3:].tolist()


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([[1.0, 0.0, -1.0, 2.0]])
    uniforms = torch.from_numpy((np.arange(20_000) + 0.5) / 20_000)
    chosen, logprobs = draw(logits.expand(20_000, -1), uniforms, Sampling())
    shares = torch.bincount(chosen, minlength=4) / 20_000
    expected = logits.softmax(-1)[0]
    assert torch.allclose(shares, expected, atol=1e-4)
    assert torch.allclose(logprobs, expected.log()[chosen])


def test_nucleus_keeps_the_smallest_set_that_reaches_its_mass() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    uniforms = torch.from_numpy((np.arange(1000) + 0.5) / 1000)
    chosen, logprobs = draw(logits.expand(1000, -1), uniforms, Sampling(top_p=0.7))
    assert set(chosen.tolist()) == {0, 1}
    assert logprobs[0].exp().item() == pytest.approx(0.625)


@pytest.mark.parametrize("bad", [{"temperature": -1.0}, {"top_p": 0.0}, {"max_turn_tokens": 0}])
def test_senseless_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Sampling(**bad)
    with pytest.raises(ValueError, match="no tokens"):
        engine().sample([request((), 0)])


@pytest.mark.parametrize("width", [1, 5])
def test_the_samplers_attention_equals_transformers_own(width: int) -> None:
    """On left-padded rows with a cache, where keys are fewer heads than queries."""
    from rollout.engines import attention

    ids = torch.tensor([[PAD, PAD, 5, 6, 7], [3, 4, 5, 6, 7]])
    mask = (ids != PAD).long()
    outputs = []
    for name in ("sdpa", attention.NAME):
        model = qwen_model()
        model.set_attn_implementation(name)
        with torch.no_grad():
            first = model(ids, attention_mask=mask, use_cache=True)
            more = ids[:, :width]
            longer = torch.cat([mask, torch.ones_like(more)], dim=1)
            outputs.append(model(more, attention_mask=longer, past_key_values=first.past_key_values).logits)
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=1e-5)
