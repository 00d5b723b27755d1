"""Tools: what a model may call."""

from rollout.tools.base import Tool, ToolResult
from rollout.tools.python import PythonTool
from rollout.tools.registry import build_tools

__all__ = ["PythonTool", "Tool", "ToolResult", "build_tools"]
