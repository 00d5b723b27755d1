"""Calls that stand in fields of their own: tau2, AgentDojo, mini-swe-agent, NeMo Gym, ToolBench."""

import json

import pytest

from data_contracts.attempts import CallStatus, Flag, Outcome, StopReason
from data_contracts.decisions import Decision
from data_contracts.messages import Role
from pipelines.sources.importers import Imported, read_folder
from tests.pipelines.sources.importers.golden import openai_call, write_jsonl


def entries(folder, file, *rows):
    write_jsonl(folder / file, rows)
    return list(read_folder(folder))


def only(folder, file, row):
    (entry,) = entries(folder, file, row)
    assert isinstance(entry, Imported), entry
    return entry.attempt


def tau2_row(**changes):
    def call(id, name, requestor):
        return {"id": id, "name": name, "arguments": {"b": 1, "a": 2}, "requestor": requestor}

    messages = [
        {"role": "assistant", "content": "Hi!", "tool_calls": None},
        {"role": "user", "content": None, "tool_calls": [call("u", "status_bar", "user")]},
        {"role": "tool", "id": "u", "content": "No signal", "requestor": "user"},
        {"role": "user", "content": "No signal."},
        {"role": "assistant", "content": None, "tool_calls": [call("x", "find", "assistant")]},
        {"role": "tool", "id": "x", "content": "gone", "requestor": "assistant", "error": True},
        {"role": "assistant", "content": "Sorry."},
    ]
    row = {"task_id": "t1", "messages": messages, "reward_info": {"reward": 1.0}, "termination_reason": "user_stop"}
    return row | changes


def run_info(implementation="llm_agent", ticket=None):
    environment, agent = {"policy": "# Policy"}, {"implementation": implementation}
    tasks = [{"id": "t1", "user_scenario": {"instructions": "Complain."}, "ticket": ticket}]
    return {"info": {"environment_info": environment, "agent_info": agent}, "tasks": tasks}


def test_tau2_without_run_info(tmp_path):
    attempt = only(tmp_path, "tau2/telecom.m.jsonl", tau2_row())
    assert [(c.id, c.arguments, c.status) for c in attempt.calls()] == [("call_1", '{"a":2,"b":1}', CallStatus.ERROR)]
    assert [(m.role, m.tool_call_id, m.requestor) for m in attempt.messages if m.tool_call_id] == [
        (Role.TOOL, "user_call_1", Role.USER),
        (Role.TOOL, "call_1", Role.ASSISTANT),
    ]
    flags = (Flag.ARGUMENTS_AS_OBJECTS, Flag.MISSING_PROMPT, Flag.NULL_CONTENT, Flag.USER_CALLS)
    assert (attempt.flags, attempt.outcome, attempt.stop) == (flags, Outcome.CORRECT, StopReason.END)


@pytest.mark.parametrize(
    ("info", "prompt"),
    [
        (run_info(), ["# Policy"]),
        (run_info("llm_agent_solo", "Fix it."), ["# Policy", "Fix it."]),
    ],
)
def test_tau2_reads_policy_and_ticket_of_its_run(tmp_path, info, prompt):
    write_jsonl(tmp_path / "tau2/run_info/telecom.m.jsonl", [info])
    described, found = entries(tmp_path, "tau2/telecom.m.jsonl", tau2_row())
    assert [m.content for m in found.attempt.messages[: len(prompt)]] == prompt
    assert [m.role for m in found.task.messages] == [Role.SYSTEM, Role.USER]
    assert "Complain." in found.task.messages[1].content
    assert Flag.MISSING_PROMPT not in found.attempt.flags
    assert isinstance(described, Decision)
    assert "holds no trajectory" in described.evidence


def agentdojo_row(**changes):
    call = {"function": "pay", "args": {"to": "Bob"}, "id": None}
    messages = [
        {"role": "system", "content": [{"type": "text", "content": "You help."}]},
        {"role": "user", "content": "Pay Bob."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "", "tool_call_id": None, "tool_call": call, "error": "ValueError: no Bob"},
        {"role": "assistant", "content": "I cannot.", "tool_calls": None},
    ]
    row = {"suite_name": "banking", "user_task_id": "user_task_0", "messages": messages, "error": None}
    return row | {"utility": True, "security": True, "attack_type": None, "injection_task_id": None} | changes


@pytest.mark.parametrize(
    ("changes", "flag", "outcome", "domain"),
    [
        ({}, None, Outcome.CORRECT, "benign"),
        ({"attack_type": "important_instructions"}, Flag.INJECTION_SUCCEEDED, Outcome.CORRECT, "attacked"),
        ({"attack_type": "important_instructions", "security": False}, None, Outcome.CORRECT, "attacked"),
        ({"error": "500 internal server error", "utility": False}, Flag.CRASHED_RUN, Outcome.VOID, "benign"),
        ({"error": "context_length_exceeded: ...", "utility": False}, None, Outcome.WRONG, "benign"),
    ],
)
def test_agentdojo(tmp_path, changes, flag, outcome, domain):
    attempt = only(tmp_path, "agentdojo/m.jsonl", agentdojo_row(**changes))
    shapes = {Flag.BLOCK_CONTENT, Flag.NULL_CONTENT, Flag.ARGUMENTS_AS_OBJECTS}
    assert set(attempt.flags) == shapes | ({flag} if flag else set())
    assert (attempt.outcome, attempt.domain, attempt.policy.name) == (outcome, domain, "m")
    assert [(c.status, c.result) for c in attempt.calls()] == [(CallStatus.ERROR, "ValueError: no Bob")]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("ValidationError: 1 validation error for Input schema for `pay`\nto\n  Field required", "invalid_arguments"),
        ("TypeError: pay() got an unexpected keyword argument 'properties'", "invalid_arguments"),
        ("TypeError: pay() missing 1 required positional argument: 'to'", "invalid_arguments"),
        ("ValidationError: 1 validation error for Email\nrecipients.0\n  no address", "error"),
        ("TypeError: unsupported operand type(s) for +", "error"),
    ],
)
def test_agentdojo_arguments_that_do_not_fit_the_tool_are_told_from_what_it_refused(tmp_path, error, status):
    row = agentdojo_row()
    row["messages"][3]["error"] = error
    assert [call.status for call in only(tmp_path, "agentdojo/m.jsonl", row).calls()] == [CallStatus(status)]


def miniswe_row(resolved=1):
    command = json.dumps({"command": "ls"})
    messages = [
        {"role": "system", "content": "Use bash."},
        {"role": "user", "content": "Fix it."},
        {"role": "assistant", "content": "Look.", "tool_calls": [openai_call("a", "bash", command)]},
        {"role": "tool", "tool_call_id": "a", "content": "<returncode>2</returncode>\n<output></output>"},
        {"role": "assistant", "content": "", "tool_calls": [openai_call("b", "bash", command)]},
        {"role": "exit", "content": "diff"},
    ]
    info = {"config": {"model": {"model_name": "lab/m"}}, "exit_status": "Submitted", "submission": "diff"}
    helper = {"path": "x", "resolved": resolved}
    return {"info": info, "messages": messages, "trajectory_format": "1", "instance_id": "r-1", "_src": helper}


@pytest.mark.parametrize(
    ("resolved", "outcome"), [(1, Outcome.CORRECT), (0, Outcome.WRONG), (None, Outcome.UNLABELLED)]
)
def test_miniswe(tmp_path, resolved, outcome):
    attempt = only(tmp_path, "miniswe/m_test_1.jsonl", miniswe_row(resolved))
    assert [call.status for call in attempt.calls()] == [CallStatus.ERROR, CallStatus.UNKNOWN]
    assert (attempt.outcome, attempt.domain, attempt.policy.name) == (outcome, "test", "m")
    assert (attempt.final_answer, attempt.stop) == ("diff", StopReason.END)


def nemo_row(prompt=True, reward=1.0):
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Think."}], "content": None},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I call."}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "b", "output": "KeyError: 1"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]},
    ]
    params = {"input": [{"role": "user", "content": "Go."}] if prompt else [], "tools": None}
    return {"responses_create_params": params, "response": {"model": "m", "output": output}, "reward": reward}


def test_nemo_gym(tmp_path):
    attempt = only(tmp_path, "nemo_gym/env.jsonl", nemo_row())
    assert [(turn.text, len(turn.calls)) for turn in attempt.turns] == [("I call.", 2), ("Done.", 0)]
    assert [(c.name, c.status) for c in attempt.calls()] == [("f", CallStatus.OK), ("g", CallStatus.ERROR)]
    assert (attempt.messages[1].reasoning, attempt.final_answer, attempt.domain) == ("Think.", "Done.", "env")


def test_nemo_gym_without_a_prompt_is_known_by_its_place(tmp_path):
    rows = [nemo_row(prompt=False, reward=0.5), nemo_row(prompt=False)]
    first, second = entries(tmp_path, "nemo_gym/env.jsonl", *rows)
    assert first.task.key != second.task.key
    assert first.attempt.flags == (Flag.BLOCK_CONTENT, Flag.MISSING_PROMPT, Flag.PARTIAL_REWARD)
    assert first.attempt.outcome is Outcome.WRONG


def node(kind, text, *children, observation=None):
    return {"node_type": kind, "description": text, "observation": observation, "children": list(children)}


def test_toolbench_reads_the_whole_tree_in_order(tmp_path):
    failed = node("Action", "f", node("Action Input", "{}", observation='{"error": "down", "response": ""}'))
    answer = node("Action", "Finish", node("Action Input", "{}", observation='{"response": "ok"}'))
    tree = node("Action Input", "", node("Thought", "Try f.", failed), node("Thought", "Give up.", answer))
    function = {"name": "f", "description": "F.", "parameters": {"type": "object"}}
    done = {"query": "Do.", "function": [function], "final_answer": "It is.", "finish_type": "give_answer"}
    helper = {"path": "answer/G1_answer/11_ChatGPT_DFS_w2.json"}
    row = {"win": True, "tree": {"tree": tree}, "answer_generation": done, "_src": helper}
    attempt = only(tmp_path, "toolbench/m.jsonl", row)
    assert [(turn.text, turn.calls[0].name, turn.calls[0].status) for turn in attempt.turns] == [
        ("Try f.", "f", CallStatus.ERROR),
        ("Give up.", "Finish", CallStatus.OK),
    ]
    assert (attempt.outcome, attempt.flags) == (Outcome.UNLABELLED, (Flag.SEARCH_TREE, Flag.UNVERIFIED))
    assert (attempt.policy.name, attempt.domain, attempt.final_answer) == ("ChatGPT-DFSDT", "G1_answer", "It is.")


@pytest.mark.parametrize(
    ("file", "row", "problem"),
    [
        ("tau2/telecom.jsonl", tau2_row(), "names no model"),
        ("tau2/telecom.m.jsonl", tau2_row(messages=tau2_row()["messages"][2:]), "answers no call"),
        ("tau2/telecom.m.jsonl", tau2_row(reward_info={"reward": float("nan")}), "finite"),
        ("agentdojo/m.jsonl", agentdojo_row(utility=None), "utility"),
        ("agentdojo/m.jsonl", agentdojo_row(messages=agentdojo_row()["messages"][2:]), "no text"),
        ("miniswe/m.jsonl", miniswe_row("yes"), "resolved"),
        ("miniswe/m.jsonl", miniswe_row(2), "resolved"),
        ("nemo_gym/m.jsonl", nemo_row(reward=None), "reward"),
        ("toolbench/m.jsonl", {"tree": {}, "answer_generation": {}}, "tree"),
    ],
)
def test_rows_that_break_their_schema_are_quarantined(tmp_path, file, row, problem):
    (decision,) = entries(tmp_path, file, row)
    assert isinstance(decision, Decision)
    assert problem in decision.evidence
