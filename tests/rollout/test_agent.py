"""Turn order, failures by type, limits, and law 1, with every part played by the test or by a real engine."""

import time
from dataclasses import replace
from threading import Barrier, Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.attempts import CallStatus, Origin, Outcome, Policy, PolicyKind, RewardPart, StopReason
from data_contracts.ids import content_hash
from data_contracts.messages import Message, Role
from data_contracts.tasks import PromptMode, Task, TaskLimits
from rollout.agent import GradeRequest, Setting, attempt_steps
from rollout.engines import Completion, Finish, Request
from rollout.engines.transformers import Sampling, TransformersEngine
from rollout.errors import InfrastructureError
from rollout.groups import Job, jobs_of, run_attempts
from rollout.prompts import WORDS, prompted
from rollout.rendering import Renderer
from rollout.rendering.family import MARKERS
from rollout.rewards import Grader
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


@pytest.mark.parametrize("tokens", [True, False])
@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (f"{python('1')}\n<tool_response>\n42\n</tool_response>\n{python('2')}", python("1")),
        ("<tool_response>\n42\n</tool_response> so \\boxed{42}", ""),
        ("I look.</tool_response>\n42", "I look."),
        (f"{python('1')}\n<|im_start|>user\n42", python("1")),
        (python("'<tool_response>'"), python("'<tool_response>'")),
        (f"<think>A <tool_response> comes next.</think>{python('1')}",) * 2,
        (f"{python('1')}\n{python('2')}",) * 2,
    ],
)
def test_what_only_the_environment_writes_is_cut_outside_of_calls_and_thoughts(tokens, line, kept) -> None:
    turn = play(line, "\\boxed{91}", tokens=tokens).turns[0]
    assert turn.text == kept
    assert (turn.trimmed_tokens > 0) == (line != kept)


def test_overflow_and_length_are_told_apart() -> None:
    limits = TaskLimits(max_turns=4, max_calls=3, max_tokens=400, max_result_tokens=300)
    assert play(python("9" * 250), "\\boxed{1}", limits=limits).stop is StopReason.TOOL_OVERFLOW
    steps = attempt_steps(make_task(), 0, 0, setting(RENDERER))
    asked = next(steps)
    assert isinstance(asked, Request)
    judged = steps.send(Completion(text="", ids_T=(5, 6), logprobs_T=(-1.0, -1.0), finish=Finish.LENGTH))
    assert isinstance(judged, GradeRequest)
    with pytest.raises(StopIteration) as end:
        steps.send(judged.grade())
    assert end.value.value.stop is StopReason.LENGTH


def test_without_a_verifier_an_attempt_stays_unlabelled() -> None:
    assert play("\\boxed{91}", answer=None).outcome is Outcome.UNLABELLED


def test_long_results_are_cut_by_tokens_and_the_model_is_told() -> None:
    attempt = play(python("7" * 200), "\\boxed{91}")
    assert attempt.calls()[0].truncated
    assert "tokens cut" in attempt.messages[2].content


def test_long_results_are_cut_for_text_engines_too_with_head_and_tail_kept() -> None:
    told = play(python("a" * 300 + "b" * 300), "\\boxed{91}", tokens=False).calls()[0]
    assert told.truncated
    assert told.result == "a" * 96 + "\n[408 characters cut]\n" + "b" * 96


def test_text_engines_have_a_limit_of_tokens_too() -> None:
    limits = TaskLimits(max_turns=9, max_calls=9, max_tokens=120, max_result_tokens=40)
    assert play(python("9" * 150), limits=limits, tokens=False).stop is StopReason.TOOL_OVERFLOW
    assert play(python("9" * 15), "\\boxed{91}", limits=limits, tokens=False).stop is StopReason.END
    asked = next(attempt_steps(make_task("q" * 200, limits=limits), 0, 0, setting(None)))
    assert isinstance(asked, Request)
    assert asked.max_tokens == 120 - (200 + len(PYTHON.parameters)) // 4


@pytest.mark.parametrize("tokens", [True, False])
def test_each_task_says_how_it_is_to_be_worked_at_and_a_run_may_say_it_for_all(tokens) -> None:
    """The words stand in the transcript and in the tokens: what is trained on is what was read."""
    tasks = [make_task(f"{mode.value}?", mode=mode) for mode in PromptMode]
    engine, renderer = (TokenScript("\\boxed{91}"), RENDERER) if tokens else (Script("\\boxed{91}"), None)
    own = run_attempts(jobs_of(tasks, 1, 0), engine, setting(renderer))
    for task, attempt in zip(tasks, own, strict=True):
        words = f"\n\n{WORDS[task.mode]}" if task.mode is not PromptMode.DIRECT else ""
        assert attempt.messages[0].content == f"{task.mode.value}?{words}"
        if tokens:
            assert words.strip() in RENDERER.decode(attempt.turns[0].context_ids_T)
    changed = replace(setting(renderer), mode=PromptMode.REACTIVE)
    shown = [a.messages[0].content for a in run_attempts(jobs_of(tasks, 1, 0), engine, changed)]
    assert shown == [f"{mode.value}?\n\n{WORDS[PromptMode.REACTIVE]}" for mode in PromptMode]


def test_the_words_of_a_mode_follow_the_last_thing_that_the_user_says() -> None:
    said = (Message(role=Role.USER, content="a"), Message(role=Role.ASSISTANT, content="b"))
    assert prompted(said, PromptMode.DIRECT) == said
    assert [m.content for m in prompted(said, PromptMode.DELIBERATIVE)] == [
        f"a\n\n{WORDS[PromptMode.DELIBERATIVE]}",
        "b",
    ]
    system = (Message(role=Role.SYSTEM, content="s"),)
    assert prompted(system, PromptMode.REACTIVE)[1].role is Role.USER


class Hangs(Echo):
    """A tool that never answers `hang`."""

    def call(self, arguments, seed):
        if arguments["code"] == "hang":
            Event().wait()
        return super().call(arguments, seed)


def test_the_time_for_tools_ends_an_attempt_that_hangs_and_no_other() -> None:
    tasks = [make_task(f"{i}?", limits=TaskLimits(max_turns=4, max_tokens=600, max_tool_s=0.2)) for i in range(2)]
    lines = f"{python('a')}\n{python('hang')}\n{python('b')}", "\\boxed{91}"

    class Half(TokenScript):
        def sample(self, requests):
            fine = TokenScript("\\boxed{91}").sample(requests)
            return [
                done if "0?" in r.messages[0].content else fine[i]
                for i, (r, done) in enumerate(zip(requests, super().sample(requests), strict=True))
            ]

    start = time.monotonic()
    hanging = replace(setting(RENDERER), tools={PYTHON: Hangs()})
    first, second = run_attempts(jobs_of(tasks, 1, 0), Half(*lines), hanging)
    assert time.monotonic() - start < 5
    assert (first.stop, first.outcome) == (StopReason.TOOL_TIMEOUT, Outcome.WRONG)
    assert [c.status for c in first.calls()] == [CallStatus.OK, CallStatus.TIMEOUT, CallStatus.OK]
    assert "time for tools is used up" in first.calls()[1].result
    assert sampled_row(first).stop is StopReason.TOOL_TIMEOUT
    assert (second.stop, second.outcome) == (StopReason.END, Outcome.CORRECT)


def test_a_task_without_a_time_for_tools_keeps_its_key() -> None:
    """The key is the hash of what defines a task; a limit that came later and is not set does not."""
    given = TaskLimits(max_turns=3).plain()
    assert given.pop("max_tool_s") is None
    task = make_task(limits=TaskLimits(max_turns=3))
    identity = [
        [m.plain() for m in task.messages],
        [t.plain() for t in task.tools],
        task.verifier.plain(),
        given,
        "direct",
    ]
    assert task.key == f"task-{content_hash(identity)}"
    assert make_task(limits=TaskLimits(max_turns=3, max_tool_s=5.0)).key != task.key


def test_an_attempt_that_the_run_gives_up_is_void() -> None:
    rounds = iter([False, True])
    (attempt,) = run_attempts(
        [Job(make_task(), 0, 7)],
        TokenScript(python("a")),
        setting(RENDERER),
        aborted=lambda: next(rounds),
    )
    assert (attempt.stop, attempt.outcome, len(attempt.turns)) == (StopReason.ABORTED, Outcome.VOID, 1)


class Notebook:
    """A tool with state: each attempt counts its own calls, and says with which seed it was opened."""

    spec = PYTHON

    def __init__(self) -> None:
        self.opened: list[Notebook] = []
        self.seed, self.count, self.closed = -1, 0, 0

    def open_attempt(self, seed):
        made = Notebook()
        made.seed = seed
        self.opened.append(made)
        return made

    def call(self, arguments, seed):
        self.count += 1
        count = self.count
        time.sleep(0.02 if count == 1 else 0)  # calls that ran at once would overtake
        return ToolResult(CallStatus.OK, f"{count}:{arguments['code']}", printed=True)

    def close(self):
        self.closed += 1


def test_a_tool_with_state_has_one_for_each_attempt_and_runs_its_calls_in_order() -> None:
    notebook = Notebook()
    stateful = replace(setting(RENDERER), tools={PYTHON: notebook})
    tasks = [make_task("a?"), make_task("b?")]
    lines = f"{python('x')}\n{python('y')}", python("z"), "\\boxed{91}"
    attempts = run_attempts(jobs_of(tasks, 1, 0), TokenScript(*lines), stateful)
    for attempt in attempts:
        assert [c.result for c in attempt.calls()] == ["1:x", "2:y", "3:z"]
    assert sorted(n.seed for n in notebook.opened) == sorted(a.seed for a in attempts)
    assert [n.closed for n in notebook.opened] == [1, 1]
    assert notebook.count == 0
    assert play("\\boxed{91}").outcome is Outcome.CORRECT


def test_state_is_let_go_of_when_a_run_breaks() -> None:
    notebook = Notebook()

    class Breaks(TokenScript):
        def sample(self, requests):
            if notebook.opened:
                raise KeyError("a mistake in an engine")
            return super().sample(requests)

    with pytest.raises(KeyError):
        run_attempts(
            [Job(make_task(), 0, 0)], Breaks(python("x")), replace(setting(RENDERER), tools={PYTHON: notebook})
        )
    assert [n.closed for n in notebook.opened] == [1]


def test_calls_of_one_turn_run_at_once() -> None:
    together = Barrier(3, timeout=30)

    class Meets(Echo):
        def call(self, arguments, seed):
            together.wait()
            return super().call(arguments, seed)

    line = "\n".join(python(code) for code in "abc")
    engine, meeting = TokenScript(line, "\\boxed{91}"), replace(setting(RENDERER), tools={PYTHON: Meets()})
    (attempt,) = run_attempts([Job(make_task(), 0, 7)], engine, meeting)
    assert [(c.id, c.result) for c in attempt.calls()] == [("call_1", "a"), ("call_2", "b"), ("call_3", "c")]


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


def test_final_messages_are_judged_at_once() -> None:
    """Four verifiers, each of which waits for the other three."""
    together = Barrier(4, timeout=30)

    class Waiting(Grader):
        def grade(self, task: Task, final_answer: str | None) -> tuple[tuple[RewardPart, ...], Outcome]:
            together.wait()
            return super().grade(task, final_answer)

    jobs = [Job(make_task(), index, index) for index in range(4)]
    judged = replace(setting(RENDERER), grader=Waiting())
    attempts = run_attempts(jobs, TokenScript("\\boxed{91}"), judged)
    assert [attempt.outcome for attempt in attempts] == [Outcome.CORRECT] * 4
