"""From tool specs to tools that run."""

from collections.abc import Callable, Iterable

from data_contracts.tasks import Task
from data_contracts.tools import ToolSpec
from rollout.sandbox import Sandbox
from rollout.tools.base import Tool
from rollout.tools.python import PythonTool

TOOLS: dict[str, Callable[[ToolSpec, Sandbox], Tool]] = {"python": PythonTool, "code_interpreter": PythonTool}
"""Name of a tool to what runs it. Bring your own: add it here, or pass a dict of tools to rollout.groups."""


def build_tools(tasks: Iterable[Task], sandbox: Sandbox) -> dict[ToolSpec, Tool]:
    """A tool for every spec that the tasks declare. Raises ValueError for one that nothing runs."""
    tools: dict[ToolSpec, Tool] = {}
    for task in tasks:
        for spec in task.tools:
            if spec in tools:
                continue
            if spec.name not in TOOLS:
                raise ValueError(
                    f"task {task.source}/{task.source_id} declares the tool {spec.name!r}, which does not exist here "
                    f"(known: {', '.join(sorted(TOOLS))}): register it in rollout.tools.registry.TOOLS"
                )
            tools[spec] = TOOLS[spec.name](spec, sandbox)
    return tools
