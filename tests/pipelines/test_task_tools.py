"""Tasks declare the tools that the recipe names, as these state themselves, and the run finds what to call."""

import json

import pytest

from data_contracts.attempts import CallStatus
from data_contracts.tools import ToolSpec
from pipelines.defs.recipe_check import faults_here
from pipelines.defs.task_sets import make_tasks
from pipelines.defs.task_tools import tool_tables
from pipelines.recipe import Recipe, load_recipe
from rollout.sandbox import Sandbox
from rollout.tools.registry import opened_tools
from tests.rollout.tools.test_mcp import public

FUNCTION = {"kind": "function", "function": "tests.rollout.tools.test_registry:gcd"}


def recipe(tmp_path, tools, **tables) -> Recipe:
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(json.dumps({"question": f"{n} + 1?", "answer": n + 1}) + "\n" for n in range(3)))
    own = {"source": "questions", "seed": 0, "path": str(file), "licence": "MIT", "test_share": 0.5}
    return Recipe("own", {"tasks": own | ({} if tools is None else {"tools": tools}), "tools": tables})


def declared(made: Recipe) -> tuple[ToolSpec, ...]:
    """The tools of all its tasks, which are alike."""
    (specs,) = {task.tools for task in make_tasks(made)}
    return specs


def test_without_the_key_tasks_declare_what_their_source_does(tmp_path):
    assert [spec.name for spec in declared(recipe(tmp_path, None, gcd=FUNCTION))] == ["python"]


def test_functions_servers_and_the_sources_own_in_the_order_of_the_recipe(tmp_path):
    server = public("mcp-server-time").model_dump(exclude_defaults=True) | {"kind": "mcp"}
    made = recipe(tmp_path, ["time", "python", "gcd"], gcd=FUNCTION, time=server)
    tasks = make_tasks(made)
    assert [spec.name for spec in declared(made)] == ["get_current_time", "convert_time", "python", "gcd"]
    assert {task.key for task in tasks}.isdisjoint(task.key for task in make_tasks(recipe(tmp_path, None)))
    with Sandbox(num_workers=1) as sandbox, opened_tools(tasks, sandbox, tool_tables(made)) as tools:
        by_name = {spec.name: tool for spec, tool in tools.items()}
        assert by_name["gcd"].call({"a": 12, "b": 18}, 0).text == "6"
        assert by_name["python"].call({"code": "print(6 * 7)"}, 0).text == "42"
        assert by_name["get_current_time"].call({"timezone": "UTC"}, 0).status is CallStatus.OK


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        (["python", "pyhton"], r"names 'pyhton', which is neither a table \[tools.pyhton\].*did you mean 'python'"),
        (["python", "python"], "names a tool twice"),
        ("python", r"give names, e\.g\. tools"),
        ([1], r"give names, e\.g\. tools"),
    ],
)
def test_a_name_that_says_nothing_is_refused(tmp_path, tools, message):
    with pytest.raises(ValueError, match=message):
        make_tasks(recipe(tmp_path, tools))


@pytest.mark.parametrize(
    ("tools", "words"), [('"python"', "give names"), ('["python", "python"]', "names a tool twice, 'python'")]
)
def test_slips_are_found_before_the_first_step(tools, words):
    (fault,) = faults_here(load_recipe("embedded", [f"tasks.tools={tools}"]))
    assert words in fault
