"""What each importer reads out of one row."""

import json

import pytest

from data_contracts.attempts import CallStatus, Flag, Origin, Outcome, PolicyKind, RepeatKind, StopReason
from data_contracts.decisions import Decision, Reason, Verdict
from data_contracts.messages import Role
from pipelines.sources.importers import Imported, read_folder
from tests.pipelines.sources.importers.golden import mathcoder_row, openai_call, tau1_row, verifiers_row, write_jsonl


def read_one(folder, file, row):
    write_jsonl(folder / file, [row])
    (entry,) = read_folder(folder)
    return entry


def read_attempt(folder, file, row):
    entry = read_one(folder, file, row)
    assert isinstance(entry, Imported), entry
    return entry.attempt


def tau1(folder, **changes):
    return read_attempt(folder, "tau1/airline.gpt-4o.jsonl", tau1_row(**changes))


def verifiers(folder, **changes):
    return read_attempt(folder, "verifiers/math.jsonl", verifiers_row(**changes))


def mathcoder(folder, **changes):
    return read_attempt(folder, "mathcoder/m.jsonl", mathcoder_row(**changes))


def test_tau1(tmp_path):
    entry = read_one(tmp_path, "tau1/airline.gpt-4o.jsonl", tau1_row())
    task, attempt = entry.task, entry.attempt
    assert (task.source, task.source_id, task.domain, task.licence) == ("tau1", "airline/7", "airline", "MIT")
    assert [m.content for m in task.messages] == ["# Policy", "You want to cancel R1."]
    assert (attempt.policy.kind, attempt.policy.name) == (PolicyKind.RECORDED, "gpt-4o")
    assert (attempt.origin, attempt.tokenizer_id, attempt.task_key) == (Origin.RENDERED, None, task.key)
    assert (attempt.outcome, attempt.stop, attempt.flags) == (Outcome.CORRECT, StopReason.END, (Flag.NULL_CONTENT,))
    assert [t.text for t in attempt.turns] == ["", "Again.", "Done."]
    assert attempt.final_answer == "Done."
    assert attempt.source_ref == "tau1/airline.gpt-4o.jsonl:1"


def test_calls_are_paired_with_their_results_and_numbered_anew(tmp_path):
    attempt = tau1(tmp_path)
    calls = [(c.id, c.name, c.arguments, c.status, c.result) for c in attempt.calls()]
    assert calls == [
        ("call_1", "find", '{"id":"R9"}', CallStatus.ERROR, "Error: reservation not found"),
        ("call_2", "find", '{"id":"R1"}', CallStatus.OK, '{"id": "R1"}'),
    ]
    results = [(m.tool_call_id, m.name) for m in attempt.messages if m.role is Role.TOOL]
    assert results == [("call_1", "find"), ("call_2", "find")]


@pytest.mark.parametrize(
    ("reward", "outcome", "flags"),
    [
        (0.0, Outcome.WRONG, set()),
        (0.83, Outcome.CORRECT, {Flag.SHAPED_REWARD}),
        (-0.17, Outcome.WRONG, {Flag.SHAPED_REWARD}),
    ],
)
def test_tau1_shaped_rewards_are_right_when_positive(tmp_path, reward, outcome, flags):
    attempt = tau1(tmp_path, reward=reward)
    assert (attempt.outcome, attempt.reward("recorded")) == (outcome, reward)
    assert set(attempt.flags) == flags | {Flag.NULL_CONTENT}


def test_tau1_without_a_goodbye_ended_for_unknown_reasons(tmp_path):
    attempt = tau1(tmp_path, traj=tau1_row()["traj"][:4])
    assert (attempt.stop, attempt.final_answer) == (StopReason.UNKNOWN, None)


def test_verifiers(tmp_path):
    entry = read_one(tmp_path, "verifiers/math.jsonl", verifiers_row())
    task, attempt = entry.task, entry.attempt
    assert (attempt.policy.name, task.domain, task.verifier.reference) == ("qwen--q3", "math_python", "42")
    assert json.loads(task.tools[0].parameters) == {"type": "object", "properties": {"code": {"type": "string"}}}
    assert [(c.arguments, c.status, c.result) for c in attempt.calls()] == [
        ('{"code": "1/0"}', CallStatus.ERROR, "Traceback ...\nZeroDivisionError: division by zero"),
        ('{"code": "6*7"}', CallStatus.OK, "42"),
    ]
    assert attempt.outcome is Outcome.CORRECT
    assert attempt.flags == (Flag.BLOCK_CONTENT, Flag.CALLS_AS_STRINGS, Flag.NULL_CONTENT, Flag.SHAPED_REWARD)
    assert attempt.final_answer == "It is \\boxed{42}."
    assert attempt.stop is StopReason.END


@pytest.mark.parametrize(
    ("changes", "outcome", "flag"),
    [
        ({"completion": [], "reward": 0.0, "correct_answer_reward_func": 0.0}, Outcome.VOID, Flag.CRASHED_RUN),
        ({"completion": [], "reward": 1.0}, Outcome.UNLABELLED, Flag.MISSING_TRANSCRIPT),
        ({"reward": 0.0, "correct_answer_reward_func": 0.0}, Outcome.UNLABELLED, Flag.BROKEN_GRADER),
        ({"reward": 0.0, "correct_answer_reward_func": 0.0, "answer": "43"}, Outcome.WRONG, None),
        ({"reward": -0.1, "correct_answer_reward_func": 0.0, "answer": "43"}, Outcome.WRONG, Flag.SHAPED_REWARD),
    ],
)
def test_verifiers_traps(tmp_path, changes, outcome, flag):
    attempt = verifiers(tmp_path, **changes)
    shapes = {Flag.BLOCK_CONTENT, Flag.CALLS_AS_STRINGS, Flag.NULL_CONTENT}
    assert attempt.outcome is outcome
    assert set(attempt.flags) - shapes == ({flag} if flag else set())


def test_a_call_without_a_result_has_no_known_status(tmp_path):
    attempt = verifiers(tmp_path, completion=verifiers_row()["completion"][:2])
    assert [(c.status, c.result) for c in attempt.calls()] == [(CallStatus.UNKNOWN, ""), (CallStatus.OK, "42")]
    assert attempt.stop is StopReason.UNKNOWN


def test_arguments_that_are_no_object_are_the_models_failure(tmp_path):
    broken = {"role": "assistant", "content": "", "tool_calls": [openai_call("a", "python", '{"code": ')]}
    answer = {"role": "tool", "content": "could not parse"}
    (call,) = verifiers(tmp_path, completion=[broken, answer]).calls()
    assert (call.status, call.name, call.arguments, call.result) == (
        CallStatus.MALFORMED,
        None,
        '{"code": ',
        "could not parse",
    )


def test_mathcoder(tmp_path):
    entry = read_one(tmp_path, "mathcoder/m.jsonl", mathcoder_row())
    task, attempt = entry.task, entry.attempt
    assert (task.licence, task.domain, task.verifier.reference) == ("Apache-2.0", "GSM8K", "42")
    assert [t.text for t in attempt.turns] == ["Let us multiply.", "", "It is \\boxed{42}."]
    assert [c.status for c in attempt.calls()] == [CallStatus.ERROR, CallStatus.OK]
    assert json.loads(attempt.calls()[0].arguments) == {"code": "6 *\n7"}
    assert (attempt.outcome, attempt.policy.name) == (Outcome.CORRECT, "MathCoder-L-7b")
    assert [m.role.value for m in attempt.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
        "assistant",
    ]


def test_mathcoder_labels(tmp_path):
    assert mathcoder(tmp_path, label="wrong").outcome is Outcome.WRONG
    unlabelled = mathcoder_row()["_src"] | {"label": None}
    assert mathcoder(tmp_path, _src=unlabelled).outcome is Outcome.UNLABELLED


def test_upstream_folders_carry_what_the_helper_keys_say(tmp_path):
    row = mathcoder_row()
    del row["_src"]
    file = "mathcoder/outs/MathCoder-L-7b/GSM8K/GSM8K_test_result-20230916-1751-wrong.jsonl"
    attempt = read_attempt(tmp_path, file, row)
    assert (attempt.policy.name, attempt.domain, attempt.outcome) == ("MathCoder-L-7b", "GSM8K", Outcome.WRONG)


def test_mathcoder_timeouts_are_told_from_errors(tmp_path):
    blocks = mathcoder_row()["debug_result"]
    blocks[4] = {"role": "execution", "content": "---\nTimeout waiting for reply   Traceback (most recent call last)"}
    assert mathcoder(tmp_path, debug_result=blocks).calls()[0].status is CallStatus.TIMEOUT


def test_greedy_repeats_are_copies_or_seeds(tmp_path):
    runs = [mathcoder_row("20230918-2042"), mathcoder_row("20230919-0018"), mathcoder_row("20230919-0351", last="43")]
    write_jsonl(tmp_path / "mathcoder/m.jsonl", runs)
    attempts = [entry.attempt for entry in read_folder(tmp_path)]
    assert [a.repeat_kind for a in attempts] == [RepeatKind.INDEPENDENT, RepeatKind.COPY, RepeatKind.SEED]
    assert len({a.key for a in attempts}) == 3
    assert len({a.task_key for a in attempts}) == 1


def test_sampled_repeats_are_independent_unless_byte_identical(tmp_path):
    other = tau1_row(trial=1, traj=tau1_row()["traj"][:-2])
    write_jsonl(tmp_path / "tau1/airline.gpt-4o.jsonl", [tau1_row(), other, tau1_row(trial=2)])
    attempts = [entry.attempt for entry in read_folder(tmp_path)]
    assert [a.repeat_kind for a in attempts] == [RepeatKind.INDEPENDENT, RepeatKind.INDEPENDENT, RepeatKind.COPY]
    assert [a.index for a in attempts] == [0, 1, 2]


def test_crashed_runs_are_copies_of_nothing(tmp_path):
    crashed = verifiers_row(completion=[], reward=0.0, correct_answer_reward_func=0.0)
    write_jsonl(tmp_path / "verifiers/m.jsonl", [crashed, crashed, verifiers_row()])
    assert {entry.attempt.repeat_kind for entry in read_folder(tmp_path)} == {RepeatKind.INDEPENDENT}


@pytest.mark.parametrize(
    ("file", "row", "problem"),
    [
        ("tau1/airline.gpt-4o.jsonl", tau1_row(reward="one"), "reward"),
        ("tau1/airline.gpt-4o.jsonl", tau1_row(reward=float("nan")), "finite"),
        ("tau1/airline.jsonl", tau1_row(), "names no model"),
        ("tau1/airline.gpt-4o.jsonl", tau1_row(traj=tau1_row()["traj"][3:]), "answers no call"),
        ("tau1/airline.gpt-4o.jsonl", tau1_row(traj=[{"role": "robot", "content": ""}]), "traj.0.role"),
        ("verifiers/m.jsonl", verifiers_row(_src={"path": "x.jsonl"}), "names no model"),
        ("verifiers/m.jsonl", verifiers_row(completion=[{"role": "assistant", "tool_calls": ["{"]}]), "tool_calls"),
        ("verifiers/m.jsonl", verifiers_row(completion=[{"role": "assistant", "content": [{"image": 1}]}]), "content"),
        ("verifiers/m.jsonl", verifiers_row(prompt=[]), "no text"),
        ("mathcoder/m.jsonl", mathcoder_row(ground_truth=None), "ground_truth"),
        ("mathcoder/m.jsonl", mathcoder_row(_src=7), "helper"),
        ("mathcoder/m.jsonl", mathcoder_row(_src={"path": "outs/a.jsonl"}), "names no run"),
    ],
)
def test_rows_that_break_their_schema_are_quarantined(tmp_path, file, row, problem):
    decision = read_one(tmp_path, file, row)
    assert isinstance(decision, Decision)
    assert (decision.verdict, decision.reason) == (Verdict.QUARANTINE, Reason.CONTRACT)
    assert decision.subject == f"{file}:1"
    assert problem in decision.evidence
