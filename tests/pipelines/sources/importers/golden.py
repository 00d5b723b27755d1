"""Rows as the three sources write them, cut to what an importer reads and a little more."""

import json


def openai_call(id, name, arguments):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tau1_row(**changes):
    row = {
        "task_id": 7,
        "reward": 1.0,
        "info": {"task": {"user_id": "ann", "instruction": "You want to cancel R1.", "actions": []}, "source": "user"},
        "traj": [
            {"role": "system", "content": "# Policy"},
            {"role": "user", "content": "Please cancel R1."},
            {"role": "assistant", "content": None, "tool_calls": [openai_call("x", "find", '{"id":"R9"}')]},
            {"role": "tool", "tool_call_id": "x", "name": "find", "content": "Error: reservation not found"},
            {"role": "assistant", "content": "Again.", "tool_calls": [openai_call("x", "find", '{"id":"R1"}')]},
            {"role": "tool", "tool_call_id": "x", "name": "find", "content": '{"id": "R1"}'},
            {"role": "assistant", "content": "Done."},
            {"role": "user", "content": "Thanks ###STOP###"},
        ],
        "trial": 0,
        "_src": {"path": "historical_trajectories/gpt-4o-airline.json"},
    }
    return row | changes


def verifiers_row(**changes):
    calls = [
        json.dumps(openai_call(id, "python", json.dumps({"code": code}))) for id, code in (("a", "1/0"), ("b", "6*7"))
    ]
    row = {
        "example_id": 3,
        "prompt": [{"role": "system", "content": "Use python."}, {"role": "user", "content": "6 * 7?"}],
        "completion": [
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "b", "content": "42", "tool_calls": None},
            {"role": "tool", "tool_call_id": "a", "content": "Traceback ...\nZeroDivisionError: division by zero"},
            {"role": "assistant", "content": [{"type": "text", "text": "It is \\boxed{42}."}], "tool_calls": None},
        ],
        "answer": "42",
        "reward": 0.9,
        "correct_answer_reward_func": 1.0,
        "info": {
            "oai_tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "python",
                        "description": "Run.",
                        "parameters": {"type": "object", "properties": {"code": {"type": "string"}, "query": None}},
                    },
                }
            ]
        },
        "_src": {
            "path": "environments/math_python/outputs/evals/math-python--qwen--q3/1a2b3c4d/results.jsonl",
            "line": 3,
        },
    }
    return row | changes


def mathcoder_row(run="20230916-1751", label="correct", last="42", **changes):
    row = {
        "messages": [],
        "ground_truth": {"answer": 42.0, "solution": "6 * 7"},
        "debug_result": [
            {"role": "system", "content": "Solve it."},
            {"role": "user", "content": "6 * 7?"},
            {"role": "text", "content": "Let us multiply."},
            {"role": "code", "content": "6 *\n7"},
            {"role": "execution", "content": "SyntaxError: invalid syntax"},
            {"role": "code", "content": "6 * 7"},
            {"role": "execution", "content": "42"},
            {"role": "text", "content": f"It is \\boxed{{{last}}}."},
            {"role": "text", "content": last},
        ],
        "completion": last,
        "_src": {"path": f"outs/MathCoder-L-7b/GSM8K/GSM8K_test_result-{run}-{label}.jsonl", "line": 1, "label": label},
    }
    return row | changes


def write_jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
