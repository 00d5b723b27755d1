"""Calls that are marked in the text: MINT, ToRA, GSM8K's calculator, smolagents; and InterCode's bare actions."""

import json

import pytest

from data_contracts.attempts import CallStatus, Flag, Outcome, RepeatKind, StopReason
from data_contracts.decisions import Decision
from data_contracts.messages import Role
from pipelines.sources.importers import Imported, read_folder
from tests.pipelines.sources.importers.golden import write_jsonl

MINT_PATH = "data/outputs/m-7b/F=None/max3_p2+tool+cd/reasoning/gsm8k/results.jsonl"


def attempts(folder, file, *rows):
    write_jsonl(folder / file, rows)
    entries = list(read_folder(folder))
    assert all(isinstance(entry, Imported) for entry in entries), entries
    return [entry.attempt for entry in entries]


def mint_row(*said, use_tool, path=MINT_PATH, **state):
    """`said` are the texts after the prompt, the model's and the harness's in turns."""
    roles = ("assistant", "user") * len(said)
    history = [{"role": "user", "content": "Example: <execute>1</execute>\nTask:\n6 * 7?"}]
    history += [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]
    counts = {"propose_solution": 1, "use_tool": use_tool, "invalid_action": 0}
    full = {"history": history, "success": True, "terminate_reason": "task_success", "error": None}
    task = {"task_id": 7, "prompt": "6 * 7?", "reference": "42"}
    return {"state": full | {"agent_action_count": counts} | state, "task": task, "_src": {"path": path}}


def test_mint_calls_are_what_the_harness_executed(tmp_path):
    row = mint_row(
        "<execute>1 / 0</execute>",
        "Observation:\nZeroDivisionError: division by zero\nYou have 4 steps left",
        "```python\nprint(6 * 7)\n```",
        "Observation:\n42\nYou have 3 steps left",
        "<execute> </execute>",
        "Observation:\nI don't understand your input.",
        "<execute>print(41)</execute> <solution> 41 </solution>",
        "Observation:\nYour answer is wrong.",
        "<execute>print(42)</execute>",
        use_tool=3,
    )
    (attempt,) = attempts(tmp_path, "mint/m.jsonl", row)
    assert [(json.loads(c.arguments)["code"], c.status) for c in attempt.calls()] == [
        ("1 / 0", CallStatus.ERROR),
        ("print(6 * 7)", CallStatus.OK),
        ("print(42)", CallStatus.UNKNOWN),
    ]
    assert [m.role for m in attempt.messages[3:]] == [Role.ASSISTANT, Role.TOOL] + [Role.ASSISTANT, Role.USER] * 2 + [
        Role.ASSISTANT
    ]
    assert attempt.flags == (Flag.CALLS_IN_TEXT, Flag.ORACLE_HINT)
    assert (attempt.policy.name, attempt.domain, attempt.outcome) == ("m-7b", "gsm8k", Outcome.CORRECT)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<execute> print(1) </execute> and\n<execute>\nprint(2)\n</execute>", " print(1) \nprint(2)"),
        ("```python\nx = 1\n``` and ```\nx\n```", "x = 1\nx"),
        ("```\n# not run\n``` <execute>print(1)</execute>", "print(1)"),
        ("print(1)", "print(1)"),
    ],
)
def test_mint_runs_all_blocks_of_a_message_at_once(tmp_path, text, code):
    row = mint_row(text, "Observation:\n1\n", "<solution>1</solution>", use_tool=1)
    (attempt,) = attempts(tmp_path, "mint/m.jsonl", row)
    assert [json.loads(c.arguments)["code"] for c in attempt.calls()] == [code]


def test_mint_without_executions_left_the_last_message_calls_nothing(tmp_path):
    (attempt,) = attempts(tmp_path, "mint/m.jsonl", mint_row("<execute> </execute>", use_tool=0, success=False))
    assert (attempt.calls(), attempt.outcome, attempt.flags) == ((), Outcome.WRONG, ())


def test_mint_invented_observations_are_the_models_own(tmp_path):
    row = mint_row("<execute>1</execute>\nObservation:\n42\n<solution>42</solution>", use_tool=0)
    (attempt,) = attempts(tmp_path, "mint/m.jsonl", row)
    assert attempt.flags == (Flag.INVENTED_OBSERVATION,)


@pytest.mark.parametrize(
    ("said", "error", "outcome", "stop"),
    [
        ([], "Please reduce the length of the messages", Outcome.VOID, StopReason.TOOL_OVERFLOW),
        (["a", "b"], "Please reduce the length of the messages", Outcome.WRONG, StopReason.TOOL_OVERFLOW),
        (["a", "b"], "502 bad gateway", Outcome.VOID, StopReason.ENVIRONMENT_ERROR),
        ([], None, Outcome.VOID, StopReason.MAX_TURNS),
    ],
)
def test_mint_crashed_runs_are_no_attempts(tmp_path, said, error, outcome, stop):
    counts = {"propose_solution": 0, "use_tool": 0, "invalid_action": len(said) // 2}
    state = {"success": False, "error": error, "terminate_reason": "max_steps", "agent_action_count": counts}
    (attempt,) = attempts(tmp_path, "mint/m.jsonl", mint_row(*said, use_tool=0, **state))
    assert (attempt.outcome, attempt.stop) == (outcome, stop)
    assert (Flag.CRASHED_RUN in attempt.flags) == (outcome is Outcome.VOID)


@pytest.mark.parametrize(
    ("last", "stop"),
    [
        ("The answer is <solution> 41 </solution>.", StopReason.END),
        ("<execute>print(42)</execute>", StopReason.MAX_TURNS),
        ("<solution>\ndef double(x):\n    ret", StopReason.MAX_TURNS),
        ("<solution> 41 </solution>, or <solution> 4", StopReason.MAX_TURNS),
        ("The answer is 41 </solution>.", StopReason.MAX_TURNS),
    ],
)
def test_mint_ends_with_a_proposal_though_it_was_the_last_step(tmp_path, last, stop):
    row = mint_row("a", "Observation:\nb", last, use_tool=0, success=False, terminate_reason="max_steps")
    (attempt,) = attempts(tmp_path, "mint/m.jsonl", row)
    assert attempt.stop is stop


@pytest.mark.parametrize(
    ("part", "reference", "last", "right"),
    [
        ("gsm8k", "40", "<solution> 38 </solution>", False),
        ("gsm8k", "12", "<solution> $120 </solution>", False),
        ("gsm8k", "1200", "<solution> $1,200 in all </solution>", True),
        ("gsm8k", "40", "<solution> 38 </solution>, no: <solution> 40.0 </solution>", True),
        ("hotpotqa", "1962", "<solution> 1974", False),
        ("hotpotqa", "george cayley", "<solution> Sir George Cayley </solution>", True),
        ("math", "0.63", "<solution> 0.6309 </solution>", True),
        ("math", "0.63", "<solution> 0.61 </solution>", False),
        ("math", "8.0", "<solution> 8.2 </solution>", False),
        ("math", "8.0", "<solution> 8 </solution>", True),
        ("mmlu", "d", "<solution> B ) Add 33.3 mL </solution>", False),
        ("mmlu", "d", "<solution> The answer is D. </solution>", True),
        ("mmlu", "b", "<solution> A carbon atom </solution>", True),
        ("theoremqa", "5.65", "<solution> 5.7 </solution>", True),
        ("mbpp", "1", "<solution> def f(): return 0 </solution>", True),
        ("alfworld", "1", "<execute>put()</execute>", True),
    ],
)
def test_mint_answers_that_its_grader_took_for_right(tmp_path, part, reference, last, right):
    row = mint_row(last, use_tool=0, path=MINT_PATH.replace("gsm8k", part))
    row["task"]["reference"] = reference
    (attempt,) = attempts(tmp_path, "mint/m.jsonl", row)
    assert attempt.outcome is (Outcome.CORRECT if right else Outcome.WRONG)
    assert (Flag.BROKEN_GRADER in attempt.flags) is not right
    assert attempt.reward("recorded") == 1.0


@pytest.mark.parametrize(
    ("reference", "said", "is_misjudged"),
    [
        ("-5.0", "It is <solution> -5 </solution>.", True),
        ("2300.0", "<solution>$2,300$</solution>", True),
        ("-5.0", "<solution> 5 </solution>", False),
        ("-5.0", "<solution> x = -5 </solution>", False),
        ("-5.0", "<solution> It is <solution> -5 </solution>", False),
        ("-5.0", "<solution> 4 </solution> or <solution> -5 </solution>", False),
        ("None", "<solution> None </solution>", False),
    ],
)
def test_mint_right_numbers_that_its_grader_calls_wrong_are_unlabelled(tmp_path, reference, said, is_misjudged):
    row = mint_row("Hm.", MISUNDERSTOOD, said, use_tool=0, success=False)
    row["task"]["reference"] = reference
    (attempt,) = attempts(tmp_path, "mint/m.jsonl", row)
    assert attempt.outcome is (Outcome.UNLABELLED if is_misjudged else Outcome.WRONG)
    assert (Flag.BROKEN_GRADER in attempt.flags) == is_misjudged


MISUNDERSTOOD = "Observation:\nI don't understand your input."


@pytest.mark.parametrize(
    ("history", "num_counted", "turns"),
    [("u", 1, [""]), ("uau", 2, ["a1", ""]), ("uuau", 3, ["", "a2", ""]), ("uauua", 3, ["a1", "", "a4"])],
)
def test_mint_empty_messages_of_the_model_are_turns(tmp_path, history, num_counted, turns):
    said = [("assistant", f"a{n}") if role == "a" else ("user", MISUNDERSTOOD) for n, role in enumerate(history)]
    state = {
        "history": [{"role": role, "content": text} for role, text in said],
        "agent_action_count": {"propose_solution": 0, "use_tool": 0, "invalid_action": num_counted},
    }
    row = mint_row(use_tool=0, success=False, terminate_reason="max_steps", **state)
    (attempt,) = attempts(tmp_path, "mint/m.jsonl", row)
    assert [turn.text for turn in attempt.turns] == turns
    assert (attempt.outcome, attempt.stop, attempt.flags) == (Outcome.WRONG, StopReason.MAX_TURNS, ())


def test_mint_budgets_are_one_task_and_no_independent_repeats(tmp_path):
    budgets = [MINT_PATH.replace("max3", f"max{k}") for k in (1, 2, 3)]
    rows = [mint_row(text, use_tool=0, path=path) for text, path in zip("aab", budgets, strict=True)]
    found = attempts(tmp_path, "mint/m.jsonl", *rows)
    assert [a.repeat_kind for a in found] == [RepeatKind.INDEPENDENT, RepeatKind.COPY, RepeatKind.BUDGET]
    assert (len({a.task_key for a in found}), len({a.key for a in found})) == (1, 3)


def tora_row(text, pred="42", gt="42"):
    return {"idx": 0, "question": "6 * 7?", "gt": gt, "code": [text], "pred": [pred], "report": [None]}


def test_tora(tmp_path):
    text = "First.\n```python\n6 *\n```\n```output\nSyntaxError: x\n```\n```python\n42\n```\n```output\n42\n```\nDone."
    (attempt,) = attempts(tmp_path, "tora/m-7b.gsm8k.jsonl", tora_row(text))
    assert [(c.arguments, c.status, c.result) for c in attempt.calls()] == [
        ('{"code":"6 *"}', CallStatus.ERROR, "SyntaxError: x"),
        ('{"code":"42"}', CallStatus.OK, "42"),
    ]
    assert [turn.text for turn in attempt.turns] == ["First.\n", "", "Done."]
    assert (attempt.policy.name, attempt.domain) == ("m-7b", "GSM8K")
    assert attempt.flags == (Flag.CALLS_IN_TEXT, Flag.HEURISTIC_VERDICT)


@pytest.mark.parametrize(
    ("pred", "gt", "outcome"),
    [
        ("42.0", "42", Outcome.CORRECT),
        ("1,000", "1000", Outcome.CORRECT),
        ("41", "42", Outcome.WRONG),
        ("none", "42", Outcome.WRONG),
        ("x", "x", Outcome.UNLABELLED),
    ],
)
def test_tora_compares_numbers(tmp_path, pred, gt, outcome):
    assert attempts(tmp_path, "tora/m.gsm8k.jsonl", tora_row("Done.", pred, gt))[0].outcome is outcome


def test_a_row_of_four_solutions_is_four_attempts(tmp_path):
    models = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
    row = {m: {"solution": "So 6*7 = <<6*7=42>>42.\nA: 42", "is_correct": m == models[0]} for m in models}
    found = attempts(tmp_path, "a.jsonl", row | {"question": "6 * 7?", "ground_truth": "So <<6*7=42>>42\nA: 42"})
    assert [a.source_ref for a in found] == [f"a.jsonl:1#{model}" for model in models]
    assert [a.policy.name for a in found] == list(models)
    assert [a.outcome for a in found] == [Outcome.CORRECT] + 3 * [Outcome.WRONG]
    assert [(c.name, c.arguments, c.result) for c in found[0].calls()] == [
        ("calculator", '{"expression":"6*7"}', "42"),
    ]
    assert [turn.text for turn in found[0].turns] == ["So 6*7 = ", "42.\nA: 42"]


def intercode_row(observations, max_reward=1.0, environment="ic_bash", actions=("ls", "submit")):
    return {
        "environment": environment,
        "dataset": "./data/nl2bash_fs_1.json",
        "task_id": 3,
        "query": "List the files.",
        "turn_history": {"actions": list(actions), "observations": observations, "rewards": [], "valid_action": []},
        "summary": {"max_reward": max_reward, "turns_taken": 2, "turns_max": 10},
    }


@pytest.mark.parametrize(
    ("observation", "status"),
    [
        ("bash: line 1: lsx: command not found", CallStatus.ERROR),
        ("Error executing query: no such table", CallStatus.ERROR),
        ("x" * 400 + "command not found", CallStatus.OK),
        (["a", 1], CallStatus.OK),
        (None, CallStatus.OK),
    ],
)
def test_intercode(tmp_path, observation, status):
    (attempt,) = attempts(tmp_path, "intercode/bash.m.jsonl", intercode_row([observation]))
    assert [call.status for call in attempt.calls()] == [status, CallStatus.UNKNOWN]
    assert (attempt.outcome, attempt.stop) == (Outcome.CORRECT, StopReason.END)
    assert attempt.flags == (Flag.MISSING_PROMPT,)


@pytest.mark.parametrize("max_reward", [0.5, 1.0])
def test_intercode_turns_are_spent_where_the_harness_submits(tmp_path, max_reward):
    row = intercode_row(["a", "a"], max_reward)
    row["turn_history"]["thoughts"] = ["I look.", "EXCEEDED MAX TURNS: submit"]
    (attempt,) = attempts(tmp_path, "intercode/bash.m.jsonl", row)
    assert attempt.stop is StopReason.MAX_TURNS


def test_intercode_partial_rewards_and_hidden_tests_are_flagged(tmp_path):
    row = intercode_row(["Failed Test Case: assert f(1) == 2"], max_reward=0.66, environment="ic_python")
    (attempt,) = attempts(tmp_path, "intercode/python.m.jsonl", row)
    assert (attempt.outcome, attempt.domain, attempt.reward("recorded")) == (Outcome.WRONG, "python", 0.66)
    assert attempt.flags == (Flag.MISSING_PROMPT, Flag.ORACLE_HINT, Flag.PARTIAL_REWARD)


@pytest.mark.parametrize(
    ("observations", "outcome", "stop"),
    [(["a.txt"], Outcome.VOID, StopReason.ENVIRONMENT_ERROR), (["a.txt", ""], Outcome.WRONG, StopReason.MAX_TURNS)],
)
def test_intercode_runs_that_the_models_service_broke_off_are_no_attempts(tmp_path, observations, outcome, stop):
    row = intercode_row(observations, max_reward=0.5, actions=("ls", "blocked"))
    row["summary"]["turns_max"] = 2
    (attempt,) = attempts(tmp_path, "intercode/bash.m.jsonl", row)
    assert (attempt.outcome, attempt.stop) == (outcome, stop)
    assert (Flag.CRASHED_RUN in attempt.flags) == (outcome is Outcome.VOID)


def smolagents_row(answer, *steps, true_answer="42"):
    said = [("user", "6 * 7?"), *steps]
    return {
        "model_id": "m",
        "agent_action_type": "code",
        "question": "6 * 7?",
        "answer": answer,
        "true_answer": true_answer,
        "source": "MATH",
        "intermediate_steps": [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in said],
    }


def test_smolagents(tmp_path):
    call = {"id": "c", "type": "function", "function": {"name": "python_interpreter", "arguments": "6*7"}}
    row = smolagents_row(
        "It is 42.",
        ("assistant", "No code."),
        ("tool-response", "Error: no code found"),
        ("assistant", "Code."),
        ("tool-call", f"Calling tools:\n{[call]}"),
        ("tool-response", "Observation: 42"),
    )
    (attempt,) = attempts(tmp_path, "smolagents/m.jsonl", row)
    assert [(c.arguments, c.status) for c in attempt.calls()] == [('{"code":"6*7"}', CallStatus.OK)]
    assert [turn.text for turn in attempt.turns] == ["No code.", "Code."]
    roles = [Role.USER, Role.ASSISTANT, Role.USER, Role.ASSISTANT, Role.TOOL]
    assert [message.role for message in attempt.messages] == roles
    assert (attempt.final_answer, attempt.policy.name) == ("It is 42.", "m/code")


@pytest.mark.parametrize(
    ("answer", "true_answer", "outcome"),
    [
        ("42", "42", Outcome.CORRECT),
        ("It is 42.0 km", "42", Outcome.CORRECT),
        ("6.72e-05", ".0000672", Outcome.CORRECT),
        ("142", "42", Outcome.WRONG),
        ("Paris", "paris", Outcome.WRONG),
    ],
)
def test_smolagents_answers_are_compared(tmp_path, answer, true_answer, outcome):
    (attempt,) = attempts(tmp_path, "smolagents/m.jsonl", smolagents_row(answer, true_answer=true_answer))
    assert attempt.outcome is outcome
    assert Flag.HEURISTIC_VERDICT in attempt.flags


@pytest.mark.parametrize(
    ("file", "row", "problem"),
    [
        ("mint/m.jsonl", mint_row(use_tool=0, path="results.jsonl"), "names no run"),
        ("mint/m.jsonl", mint_row(use_tool="1"), "use_tool"),
        ("tora/m.jsonl", tora_row("Done."), "names no model"),
        ("tora/m.gsm8k.jsonl", tora_row("Done.") | {"pred": []}, "one answer a sample"),
        ("intercode/bash.jsonl", intercode_row([]), "names no model"),
        ("smolagents/m.jsonl", smolagents_row("1", ("tool-call", "Calling tools:\n[oops")), "no list of calls"),
        ("gsm8k_openai_solutions/a.jsonl", {"question": "q", "ground_truth": "A: 1"}, "solutions"),
    ],
)
def test_rows_that_break_their_schema_are_quarantined(tmp_path, file, row, problem):
    write_jsonl(tmp_path / file, [row])
    (decision,) = read_folder(tmp_path)
    assert isinstance(decision, Decision)
    assert problem in decision.evidence
