"""Which tools tasks declare: those that a key of the recipe names, or, without this key, those of their source."""

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from data_contracts.tasks import Task
from pipelines.recipe import Recipe
from rollout.tools.declared import declaring, require_distinct
from rollout.tools.tables import ToolTable


def named_tools(recipe: Recipe) -> tuple[str, ...] | None:
    """[tasks] tools, in order. Raises ValueError for anything but names, each once."""
    names = recipe.table("tasks").get("tools")
    try:
        given = TypeAdapter(tuple[str, ...] | None).validate_python(names, strict=False)
    except ValidationError as error:
        raise ValueError(f'recipe [tasks] tools={names!r}: give names, e.g. tools = ["python", "time"]') from error
    require_distinct_in("[tasks] tools", given)
    return given


def require_distinct_in(key: str, names: Sequence[str] | None) -> None:
    """Raises ValueError where this key of the recipe names a tool twice."""
    try:
        require_distinct(names or ())
    except ValueError as error:
        raise ValueError(f"recipe {key} {error}") from error


def tool_tables(recipe: Recipe) -> dict[str, ToolTable]:
    """The tables [tools.NAME], by name."""
    return TypeAdapter(dict[str, ToolTable]).validate_python(recipe.tables.get("tools", {}))


def with_named_tools(tasks: Sequence[Task], names: Sequence[str] | None, recipe: Recipe, key: str) -> list[Task]:
    """The tasks, declaring what `names`, the value of this key of the recipe, names; see rollout.tools.declared."""
    if names is None:
        return list(tasks)
    try:
        return declaring(tasks, names, tool_tables(recipe))
    except ValueError as error:
        raise ValueError(f"recipe {key} {error}") from error
