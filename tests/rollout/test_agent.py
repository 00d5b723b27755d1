"""Turn order, failures by type, limits, and law 1, with every part played by the test or by a real engine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.attempts import CallStatus, Origin, Outcome, Policy, PolicyKind, StopReason
from data_contracts.messages import Role
from data_contracts.tasks import TaskLimits
from rollout.agent import Setting, attempt_steps
from rollout.engines import Completion, Finish, Request
from rollout.engines.transformers import Sampling, TransformersEngine
from rollout.errors import InfrastructureError
from rollout.groups import Job, jobs_of, run_attempts
from rollout.rendering import Renderer
from rollout.rendering.family import MARKERS
from rollout.rows import sampled_row
from rollout.tools import ToolResult
from tests.tiny import PYTHON, make_task, qwen_model, qwen_tokenizer

POLICY = Policy(kind=PolicyKind.STUDENT, name="test", revision="0")
RENDERER = Renderer(qwen_tokenizer())


class Echo:
    """A tool that answers with its argument; it breaks where it is told to."""

    spec = PYTHON

    def call(self, arguments, seed):
        if arguments["code"] == "break":
            raise InfrastructureError("the sandbox is down")
        return ToolResult(CallStatus.OK, arguments["code"], printed=True)


class Script:
    """A text engine that says the given lines, one per turn."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines

    def sample(self, requests):
        turns = [sum(m.role is Role.ASSISTANT for m in r.messages) for r in requests]
        return [Completion(text=self.lines[min(turn, len(self.lines) - 1)]) for turn in turns]


class TokenScript(Script):
    """The same lines as tokens, for the token path."""

    def sample(self, requests):
        out = []
        for done in super().sample(requests):
            ids = (*qwen_tokenizer().encode(done.text, add_special_tokens=False), RENDERER.end_id)
            out.append(Completion(text="", ids_T=ids, logprobs_T=(-0.5,) * len(ids)))
        return out


def call(body: str) -> str:
    return f"<tool_call>\n{body}\n</tool_call>"


def python(code: str) -> str:
    return call(f'{{"name": "python", "arguments": {{"code": "{code}"}}}}')


def setting(renderer: Renderer | None) -> Setting:
    return Setting(POLICY, "spec", {PYTHON: Echo()}, renderer)


def play(*lines: str, tokens: bool = True, **task):
    engine = TokenScript(*lines) if tokens else Script(*lines)
    (attempt,) = run_attempts([Job(make_task(**task), 0, 7)], engine, setting(RENDERER if tokens else None))
    return attempt


@pytest.mark.parametrize("tokens", [True, False])
def test_a_call_is_answered_and_the_answer_judged(tokens: bool) -> None:
    attempt = play(f"I add.\n{python('91')}", "So \\boxed{91}.", tokens=tokens)
    assert attempt.outcome is Outcome.CORRECT
    assert attempt.stop is StopReason.END
    assert [c.status for c in attempt.calls()] == [CallStatus.OK]
    assert [m.role for m in attempt.messages] == [Role.USER, Role.ASSISTANT, Role.TOOL, Role.ASSISTANT]
    assert attempt.messages[1].content == "I add."
    assert attempt.messages[2].tool_call_id == attempt.messages[1].tool_calls[0].id == "call_1"
    assert attempt.origin is (Origin.SAMPLED if tokens else Origin.RENDERED)
    assert (attempt.reward("correct_strict"), attempt.reward("correct_lenient")) == (1.0, 1.0)


@pytest.mark.parametrize("tokens", [True, False])
@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        (call("{'name': python}"), CallStatus.MALFORMED, "malformed call"),
        (call('{"name": "python"}'), CallStatus.MALFORMED, "arguments must be an object"),
        ('<tool_call>\n{"name": "python", "arguments": {"code": "1"}}', CallStatus.MALFORMED, "no </tool_call>"),
        (call('{"name": "pythn", "arguments": {"code": "1"}}'), CallStatus.UNKNOWN_TOOL, "tools: python"),
        (call('{"name": "python", "arguments": {"cod": "1"}}'), CallStatus.INVALID_ARGUMENTS, "'code' is a required"),
        (call('{"name": "python", "arguments": {"code": 1}}'), CallStatus.INVALID_ARGUMENTS, "code: 1 is not of type"),
    ],
)
def test_a_models_mistake_is_answered_and_counted_and_never_an_end(tokens, line, status, words) -> None:
    attempt = play(line, python("91"), "\\boxed{91}", tokens=tokens)
    assert [c.status for c in attempt.calls()] == [status, CallStatus.OK]
    assert words in attempt.calls()[0].result
    assert attempt.outcome is Outcome.CORRECT


def test_parallel_calls_keep_their_order_and_ids() -> None:
    attempt = play(f"{python('a')}\n{python('b')}\n{call('x')}", "\\boxed{91}")
    assert [(c.id, c.result[:5]) for c in attempt.calls()] == [("call_1", "a"), ("call_2", "b"), ("call_3", "Error")]
    assert [m.content[:5] for m in attempt.messages if m.role is Role.TOOL] == ["a", "b", "Error"]


def test_calls_beyond_the_limit_are_refused_and_turns_are_limited() -> None:
    limits = TaskLimits(max_turns=3, max_calls=1, max_tokens=600, max_result_tokens=48)
    attempt = play(python("a"), limits=limits)
    assert [c.status for c in attempt.calls()] == [CallStatus.OK, CallStatus.OVER_LIMIT, CallStatus.OVER_LIMIT]
    assert attempt.stop is StopReason.MAX_TURNS
    assert attempt.final_answer is None
    assert attempt.outcome is Outcome.WRONG


def test_infrastructure_failures_void_the_attempt() -> None:
    attempt = play(python("break"), "\\boxed{91}")
    assert attempt.stop is StopReason.ENVIRONMENT_ERROR
    assert attempt.outcome is Outcome.VOID
    assert attempt.rewards == ()
    with pytest.raises(ValueError, match="never trained"):
        sampled_row(attempt)


def test_a_failed_completion_voids_only_its_own_attempt() -> None:
    class Flaky(TokenScript):
        def sample(self, requests):
            done = super().sample(requests)
            return [InfrastructureError("server down") if i == 0 else c for i, c in enumerate(done)]

    jobs = jobs_of([make_task("a?"), make_task("b?")], 1, 0)
    first, second = run_attempts(jobs, Flaky("\\boxed{91}"), setting(RENDERER))
    assert (first.outcome, second.outcome) == (Outcome.VOID, Outcome.CORRECT)


def test_an_invented_observation_is_cut_and_counted() -> None:
    line = f"{python('91')}\n<tool_response>\n42\n</tool_response> so it is 42"
    attempt = play(line, "\\boxed{91}")
    assert attempt.turns[0].trimmed_tokens > 0
    assert "42" not in RENDERER.decode(sampled_row(attempt).tokens_T)
    assert play(line, "\\boxed{91}", tokens=False).turns[0].text.endswith("</tool_call>")


def test_overflow_and_length_are_told_apart() -> None:
    limits = TaskLimits(max_turns=4, max_calls=3, max_tokens=400, max_result_tokens=300)
    assert play(python("9" * 250), "\\boxed{1}", limits=limits).stop is StopReason.TOOL_OVERFLOW
    steps = attempt_steps(make_task(), 0, 0, setting(RENDERER))
    asked = next(steps)
    assert isinstance(asked, Request)
    with pytest.raises(StopIteration) as end:
        steps.send(Completion(text="", ids_T=(5, 6), logprobs_T=(-1.0, -1.0), finish=Finish.LENGTH))
    assert end.value.value.stop is StopReason.LENGTH


def test_without_a_verifier_an_attempt_stays_unlabelled() -> None:
    assert play("\\boxed{91}", answer=None).outcome is Outcome.UNLABELLED


def test_long_results_are_cut_by_tokens_and_the_model_is_told() -> None:
    attempt = play(python("7" * 200), "\\boxed{91}")
    assert attempt.calls()[0].truncated
    assert "tokens cut" in attempt.messages[2].content


pieces = st.lists(
    st.sampled_from([*MARKERS[3:7], "a", "\n", '{"name": "python", "arguments": {"code": "1"}}']), max_size=9
)


@settings(max_examples=40, deadline=None)
@given(st.lists(pieces.map("".join), min_size=1, max_size=4))
def test_law_1_tokens_are_the_truth(lines: list[str]) -> None:
    """Each prompt starts with the prompt and the completion before it; only sampled tokens are trained, each once."""
    prompts: list[tuple[int, ...]] = []

    class Spy(TokenScript):
        def sample(self, requests):
            prompts.extend(r.prompt_ids_T for r in requests)
            return super().sample(requests)

    (attempt,) = run_attempts([Job(make_task(), 0, 1)], Spy(*lines), setting(RENDERER))
    row = sampled_row(attempt)
    so_far: tuple[int, ...] = ()
    for prompt, turn in zip(prompts, attempt.turns, strict=True):
        assert prompt == so_far + turn.context_ids_T
        so_far = prompt + turn.sampled_ids_T
    assert row.tokens_T == so_far
    trained = [n for n, t in zip(row.tokens_T, row.trained_T, strict=True) if t]
    assert trained == [n for turn in attempt.turns for n in turn.sampled_ids_T]
    assert all((p is not None) == t for p, t in zip(row.logprobs_T, row.trained_T, strict=True))


def test_a_real_model_gives_rows_whose_log_probabilities_hold() -> None:
    """End to end: a random model samples through the agent; the row's log-probabilities are those of one forward pass."""
    import torch

    model = qwen_model()
    engine = TransformersEngine(model, RENDERER.end_id, qwen_tokenizer().pad_token_id, Sampling(max_turn_tokens=16))
    attempts = run_attempts(jobs_of([make_task("a?"), make_task("bb?")], 3, 0), engine, setting(RENDERER))
    for attempt in attempts:
        row = sampled_row(attempt)
        with torch.no_grad():
            logprobs = model(torch.tensor([row.tokens_T])).logits[0].log_softmax(-1)
        for i, trained in enumerate(row.trained_T):
            if trained:
                np.testing.assert_allclose(row.logprobs_T[i], logprobs[i - 1, row.tokens_T[i]].item(), atol=3e-5)
