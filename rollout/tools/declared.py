"""Which tools tasks declare: their own, and what functions and MCP servers state of themselves."""

from collections.abc import Mapping, Sequence

from data_contracts.tasks import Task
from data_contracts.tools import ToolSpec
from rollout.names import nearest
from rollout.tools.registry import stated_specs
from rollout.tools.tables import PythonTable, ToolTable

Offers = Mapping[str, Sequence[ToolSpec]]
"""By the name of a table of functions or of an MCP server: what it states of itself."""


def declaring(tasks: Sequence[Task], names: Sequence[str], tables: Mapping[str, ToolTable]) -> list[Task]:
    """The tasks, declaring what is named and nothing else, in this order; servers among it are asked once, and left.

    Raises ValueError for a name that is neither a table nor a tool of the task, and for one that comes twice.
    """
    require_distinct(names)
    offers = {
        name: stated_specs({name: tables[name]})
        for name in names
        if name in tables and not isinstance(tables[name], PythonTable)
    }
    return [task.declaring(_specs(task, names, offers)) for task in tasks]


def require_distinct(names: Sequence[str]) -> None:
    """Raises ValueError for a name that comes twice."""
    doubled = sorted({name for name in names if list(names).count(name) > 1})
    if doubled:
        raise ValueError(f"names a tool twice, {doubled[0]!r}: name each once")


def _specs(task: Task, names: Sequence[str], offers: Offers) -> tuple[ToolSpec, ...]:
    own = {spec.name: [spec] for spec in task.tools}
    found: list[ToolSpec] = []
    for name in names:
        specs = offers.get(name) or own.get(name)
        if specs is None:
            raise ValueError(
                f"names {name!r}, which is neither a table [tools.{name}] of functions or of a server nor declared by the "
                f"tasks{nearest(name, {*offers, *own})}"
            )
        found += specs
    return tuple(found)
