"""The client of OpenAI-compatible servers, against a real server on the loopback."""

import numpy as np
import pytest

from data_contracts.attempts import CallStatus, Outcome, Policy, PolicyKind
from rollout.agent import Setting
from rollout.engines import Completion, Request
from rollout.engines.openai import Api, OpenAIEngine
from rollout.engines.transformers import Sampling, TransformersEngine
from rollout.errors import InfrastructureError
from rollout.groups import jobs_of, run_attempts
from rollout.rendering import Renderer
from tests.rollout.test_agent import Echo
from tests.servers import model_server
from tests.tiny import PYTHON, make_task, qwen_model, qwen_tokenizer

POLICY = Policy(kind=PolicyKind.TEACHER, name="served", revision="1")


def client(server, api: Api, **changes) -> OpenAIEngine:
    fields = {"temperature": 1.0, "max_turn_tokens": 16, "first_pause_s": 0.01, "num_retries": 2}
    return OpenAIEngine(server.base_url, "tiny", api, **(fields | changes))


def test_token_mode_gives_the_ids_and_log_probabilities_of_the_model() -> None:
    requests = [Request((5, 6, 7), (), (), 16, seed) for seed in range(3)]
    with model_server() as server:
        served = client(server, Api.TOKENS).sample(requests)
    end, pad = qwen_tokenizer().eos_token_id, qwen_tokenizer().pad_token_id
    local = TransformersEngine(qwen_model(), end, pad, Sampling(max_turn_tokens=16)).sample(requests)
    for ours, theirs in zip(served, local, strict=True):
        assert isinstance(ours, Completion)
        assert (ours.ids_T, ours.finish) == (theirs.ids_T, theirs.finish)
        np.testing.assert_allclose(ours.logprobs_T, theirs.logprobs_T, atol=2e-5)


def test_chat_mode_runs_whole_attempts() -> None:
    with model_server() as server:
        setting = Setting(POLICY, "s", {PYTHON: Echo()}, None)
        attempts = run_attempts(jobs_of([make_task("a?"), make_task("b?")], 2, 0), client(server, Api.CHAT), setting)
    assert [a.outcome for a in attempts] == [Outcome.CORRECT] * 4
    assert [c.status for a in attempts for c in a.calls()] == [CallStatus.OK] * 4
    assert server.requests[0]["tools"] == [PYTHON.to_openai()]


def test_passing_failures_are_retried_and_lasting_ones_void_one_attempt() -> None:
    with model_server() as server:
        server.failures = [503, 429]
        assert isinstance(client(server, Api.CHAT).sample([Request((), (), (), 16, 0)])[0], Completion)
        server.failures = [500, 502, 503]
        failed = client(server, Api.CHAT).sample([Request((), (), (), 16, 0)])[0]
        assert isinstance(failed, InfrastructureError)
        assert "failed 3 times; last: status 503" in str(failed)
        url = server.base_url
    (dead,) = OpenAIEngine(url, "tiny", Api.CHAT, temperature=1.0, num_retries=1, first_pause_s=0.01).sample(
        [Request((), (), (), 16, 0)]
    )
    assert isinstance(dead, InfrastructureError)


def test_a_refused_request_is_the_users_mistake() -> None:
    with model_server() as server:
        server.failures = [404]
        with pytest.raises(ValueError, match=r"refused .* with status 404: .*as told"):
            client(server, Api.CHAT).sample([Request((), (), (), 16, 0)])


def test_a_malformed_call_goes_back_as_the_text_that_it_was() -> None:
    """What a server gave as text is not turned into a call that it never made."""
    bad = "<tool_call>\nnot json\n</tool_call>"

    class Bad(OpenAIEngine):
        def sample(self, requests):
            if len(requests[0].messages) == 1:
                return [Completion(text=bad) for _ in requests]
            return super().sample(requests)

    with model_server() as server:
        engine = Bad(server.base_url, "tiny", Api.CHAT, temperature=1.0)
        (attempt,) = run_attempts(jobs_of([make_task()], 1, 0), engine, Setting(POLICY, "s", {PYTHON: Echo()}, None))
        sent = server.requests[0]["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant", "user"]
    assert bad in sent[1]["content"]
    assert "malformed call" in sent[2]["content"]
    assert [c.status for c in attempt.calls()][:2] == [CallStatus.MALFORMED, CallStatus.OK]
    assert Renderer(qwen_tokenizer()).conversation(attempt.messages, [PYTHON]).ids_T
