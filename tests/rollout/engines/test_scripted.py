"""The scripted teacher: reads every family, errs at the stated rate, recovers, and follows what the tool says."""

import dataclasses
import json

import pytest

from data_contracts.attempts import CallStatus, Outcome, Policy, PolicyKind
from data_contracts.messages import Message, Role
from pipelines.sources.embedded import FAMILIES, TasksRecipe, generate
from rollout.agent import Setting
from rollout.engines import Request
from rollout.engines.scripted import ScriptedEngine, Slip
from rollout.engines.scripted_reading import Plan, read
from rollout.groups import jobs_of, run_attempts
from rollout.sandbox import Sandbox
from rollout.tools import build_tools
from rollout.tools.variants import ToolVariant, apply_variant

RECIPE = TasksRecipe(num_train=350, num_test_per_family=20, scarce_share=0.5, num_scarce_for_teacher=12)
TASKS = generate(RECIPE, 11)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(num_workers=2) as sandbox:
        yield sandbox


def attempts_of(sandbox, error_rate, oversight_rate=0.0, variant=ToolVariant.REAL, tasks=TASKS):
    tools = {spec: apply_variant(tool, variant) for spec, tool in build_tools(tasks, sandbox).items()}
    policy = Policy(kind=PolicyKind.TEACHER, name="scripted", revision="1")
    setting = Setting(policy=policy, spec_hash="test", tools=tools, renderer=None)
    return run_attempts(jobs_of(tasks, 1, 0), ScriptedEngine(error_rate, oversight_rate), setting)


def share(flags):
    flags = list(flags)
    return sum(flags) / len(flags)


def ask(*messages, error_rate=0.0, seed=0, tools=TASKS[0].tools):
    request = Request(prompt_ids_T=(), messages=messages, tools=tools, max_tokens=99, seed=seed)
    return ScriptedEngine(error_rate, 0.0).sample([request])[0].text


def test_a_request_carries_the_conversation_and_no_reference():
    assert {field.name for field in dataclasses.fields(Request)} == {
        "prompt_ids_T",
        "messages",
        "tools",
        "max_tokens",
        "seed",
    }


def test_it_solves_nearly_all_tasks_of_each_family_by_real_calls(sandbox):
    attempts = attempts_of(sandbox, error_rate=0.0)
    for family in FAMILIES:
        mine = [attempt for attempt in attempts if attempt.domain == family.name]
        assert share(attempt.outcome is Outcome.CORRECT for attempt in mine) >= 0.95
    assert all(len(attempt.calls()) == 1 for attempt in attempts)


def test_it_errs_at_the_stated_rate_in_all_ways_and_recovers(sandbox):
    attempts = attempts_of(sandbox, error_rate=0.4)
    erred = [attempt for attempt in attempts if len(attempt.calls()) > 1]
    assert len(erred) / len(attempts) == pytest.approx(0.4, abs=0.08)
    first = [attempt.calls()[0] for attempt in erred]
    assert {call.status for call in first} == {
        CallStatus.OK,
        CallStatus.ERROR,
        CallStatus.MALFORMED,
        CallStatus.UNKNOWN_TOOL,
    }
    assert all(share(call.status is status for call in first) > 0.1 for status in {call.status for call in first})
    assert share(attempt.outcome is Outcome.CORRECT for attempt in attempts) >= 0.98


def test_an_overlooked_bad_plan_ends_in_a_wrong_answer(sandbox):
    attempts = attempts_of(sandbox, error_rate=0.8, oversight_rate=1.0)
    wrong = share(attempt.outcome is Outcome.WRONG for attempt in attempts)
    assert wrong == pytest.approx(0.8 / len(Slip), abs=0.06)


def test_its_answers_follow_a_tool_that_is_off_by_one(sandbox):
    attempts = attempts_of(sandbox, error_rate=0.3, oversight_rate=0.1, variant=ToolVariant.OFFSET)
    results = [(attempt.calls()[-1].result, attempt.final_answer) for attempt in attempts]
    assert all(f"\\boxed{{{result}}}" in answer for result, answer in results)
    assert not any(attempt.outcome is Outcome.CORRECT for attempt in attempts if len(attempt.calls()) == 1)


def test_it_gives_up_honestly_when_the_tool_never_works(sandbox):
    attempts = attempts_of(sandbox, error_rate=0.0, variant=ToolVariant.DISABLED, tasks=TASKS[:5])
    assert all(attempt.final_answer == "I could not compute it." for attempt in attempts)
    assert all(len(attempt.calls()) == 3 for attempt in attempts)


def test_equal_requests_get_equal_messages_and_seeds_vary_them():
    messages = TASKS[0].messages
    texts = [ask(*messages, error_rate=0.5, seed=seed) for seed in range(40)]
    assert texts == [ask(*messages, error_rate=0.5, seed=seed) for seed in range(40)]
    assert len(set(texts)) > 5


def test_its_call_is_in_hermes_form():
    text = ask(Message(role=Role.USER, content="Mia has 34 shells and finds 57 more. How many now?"))
    _, call = text.split("\n<tool_call>\n")
    body = json.loads(call.removesuffix("\n</tool_call>"))
    assert body == {"name": "python", "arguments": {"code": "print(34+57)"}}


@pytest.mark.parametrize(
    "text", ["Why is the sky blue?", "Take 3 and 4 and do something.", "The list is 1, 2, 3. Why?", ""]
)
def test_what_it_does_not_understand_it_says_without_a_call(text):
    assert ask(Message(role=Role.USER, content=text)) == "I do not know how to solve this."


def test_without_a_tool_it_makes_no_call():
    assert "<tool_call>" not in ask(*TASKS[0].messages, tools=())


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("Leo owns 12 coins, Mia 34. How many fewer has Leo?", Plan("34-12")),
        ("How many eggs remain when 12 of 34 break?", Plan("34-12")),
        ("Ann has 50 nuts and buys 3 boxes of 11.", Plan("50+3*11")),
        ("The list is 9, 2, 5, 4, 8. What is the median?", Plan("sorted(v)[2]", given="[9,2,5,4,8]")),
    ],
)
def test_it_reads_the_question_not_just_its_numbers(text, plan):
    assert read(text) == plan


def test_a_list_is_written_once():
    assert Plan("max(v)-min(v)", given="[3,9]").codes() == ("v=[3,9];print(max(v)-min(v))",)
    assert Plan("max(v)", given="[3,9]").codes() == ("print(max([3,9]))", "v=[3,9];print(max(v))")


def test_every_plan_can_be_confused_and_said_in_words():
    for task in TASKS:
        plan = read(task.messages[0].content)
        assert plan.confused() != plan
        assert plan.words()
        assert plan.confused().words()


@pytest.mark.parametrize("rates", [(-0.1, 0.0), (0.0, 1.1)])
def test_a_rate_outside_0_to_1_is_refused(rates):
    with pytest.raises(ValueError, match=r"_rate=.* is no rate: give a number from 0 to 1"):
        ScriptedEngine(*rates)
