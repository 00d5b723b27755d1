"""Which tools the tasks declare: those that [tasks] tools names, or, without this key, those of their source."""

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter, ValidationError

from data_contracts.tasks import Task
from data_contracts.tools import ToolSpec
from pipelines.recipe import Recipe, nearest
from rollout.tools.registry import stated_specs
from rollout.tools.tables import PythonTable, ToolTable

Offers = Mapping[str, Sequence[ToolSpec]]
"""By the name of a table of functions or of an MCP server: what it states of itself."""


def named_tools(recipe: Recipe) -> tuple[str, ...] | None:
    """[tasks] tools, in order. Raises ValueError for anything but names, each once."""
    names = recipe.table("tasks").get("tools")
    try:
        given = TypeAdapter(tuple[str, ...] | None).validate_python(names, strict=False)
    except ValidationError as error:
        raise ValueError(f'recipe [tasks] tools={names!r}: give names, e.g. tools = ["python", "time"]') from error
    if given is not None and len(set(given)) < len(given):
        raise ValueError(f"recipe [tasks] tools={names!r} names a tool twice: name each once")
    return given


def tool_tables(recipe: Recipe) -> dict[str, ToolTable]:
    """The tables [tools.NAME], by name."""
    return TypeAdapter(dict[str, ToolTable]).validate_python(recipe.tables.get("tools", {}))


def with_named_tools(tasks: Sequence[Task], recipe: Recipe) -> list[Task]:
    """The tasks, declaring what the recipe names; servers among it are asked once, and left.

    Raises ValueError for a name that is neither a table [tools.NAME] nor a tool of the source.
    """
    names = named_tools(recipe)
    if names is None:
        return list(tasks)
    tables = tool_tables(recipe)
    offers = {
        name: stated_specs({name: tables[name]})
        for name in names
        if name in tables and not isinstance(tables[name], PythonTable)
    }
    return [task.declaring(_specs(task, names, offers)) for task in tasks]


def _specs(task: Task, names: Sequence[str], offers: Offers) -> tuple[ToolSpec, ...]:
    own = {spec.name: [spec] for spec in task.tools}
    found: list[ToolSpec] = []
    for name in names:
        specs = offers.get(name) or own.get(name)
        if specs is None:
            raise ValueError(
                f"recipe [tasks] tools names {name!r}, which is neither a table [tools.{name}] of functions or of a server "
                f"nor declared by the source{nearest(name, {*offers, *own})}"
            )
        found += specs
    return tuple(found)
