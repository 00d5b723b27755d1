"""The scripted teacher's attempts, with their slips and recoveries: the rules that are on by default lose no good one."""

import pytest

from data_contracts.attempts import CallStatus, Outcome, Policy, PolicyKind
from data_contracts.decisions import Reason
from pipelines.curation.recipes import SftDataRecipe
from pipelines.curation.selection import select_sft
from pipelines.sources.embedded.generation import generate
from pipelines.sources.embedded.recipe import TasksRecipe
from rollout.agent import Setting
from rollout.engines.scripted import ScriptedEngine
from rollout.groups import jobs_of, run_attempts
from rollout.sandbox import Sandbox
from rollout.tools import build_tools

RECIPE = TasksRecipe(num_train=160, num_test_per_family=2, scarce_share=0.4, num_scarce_for_teacher=4)
TASKS = generate(RECIPE, 3)


@pytest.fixture(scope="module")
def attempts():
    policy = Policy(kind=PolicyKind.TEACHER, name="scripted", revision="1")
    with Sandbox(num_workers=1) as sandbox:
        setting = Setting(policy=policy, spec_hash="test", tools=build_tools(TASKS, sandbox), renderer=None)
        return run_attempts(jobs_of(TASKS, 1, 0), ScriptedEngine(error_rate=0.5, oversight_rate=0.0), setting)


def dropped(attempts, **options):
    _, decisions = select_sft(attempts, SftDataRecipe(**options), TASKS)
    return {d.subject: d.reason for d in decisions if d.reason is not Reason.PASSED}


def with_status(attempts, *statuses):
    return {a.key for a in attempts if any(call.status in statuses for call in a.calls())}


def test_only_wrong_answers_and_void_turns_go(attempts):
    malformed = with_status(attempts, CallStatus.MALFORMED)
    wrong = {a.key for a in attempts if a.outcome is Outcome.WRONG}
    found = dropped(attempts)
    assert found.keys() == malformed | wrong
    assert set(found.values()) <= {Reason.VOID_TURN, Reason.NOT_VERIFIED, Reason.ALL_CALLS_FAILED}
    assert dropped(attempts, drop_void_turns=False).keys() == wrong, "recoveries from a broken call may stay"


def test_without_recoveries_their_slips_decide(attempts):
    found = dropped(attempts, keep_recovered=False, verified=False)
    unknown, malformed = (with_status(attempts, s) for s in (CallStatus.UNKNOWN_TOOL, CallStatus.MALFORMED))
    assert unknown
    assert malformed
    assert {key for key, reason in found.items() if reason is Reason.UNDECLARED_TOOL} == unknown - malformed
    assert {key for key, reason in found.items() if reason is Reason.TRUNCATED_CALL} == malformed
