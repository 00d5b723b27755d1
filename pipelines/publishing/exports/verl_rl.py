"""verl's RLHFDataset (verl 0.9)."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from data_contracts.tasks import Task
from pipelines.publishing.exports.export import TRAIN, Export
from pipelines.publishing.exports.task_rows import answer_of, judged, prompt_of

AGENTS = {True: "tool_agent", False: "single_turn_agent"}
"""verl's agent loops, for tasks with and without tools."""


def verl_rl(tasks: Iterable[Task]) -> Export:
    """Every tool of the dataset stands in every row's `tools_kwargs`, so that no field is null where verl looks a tool up;
    `tool_selection` names the row's own tools. The tools themselves are verl's: its tool config has to name them alike."""
    kept, left_out = judged(tasks)
    names = sorted({tool.name for task in kept for tool in task.tools})
    rows = [_row(index, task, names) for index, task in enumerate(kept)]
    return Export({TRAIN: pa.Table.from_pylist(rows)}, left_out)


def _row(index: int, task: Task, tool_names: Sequence[str]) -> dict[str, Any]:
    return {
        "data_source": task.source,
        "agent_name": AGENTS[bool(task.tools)],
        "prompt": prompt_of(task),
        "ability": task.domain,
        "reward_model": {"style": "rule", "ground_truth": answer_of(task)},
        "extra_info": _extra(index, task, tool_names),
    }


def _extra(index: int, task: Task, tool_names: Sequence[str]) -> dict[str, Any]:
    told = {
        "index": index,
        "split": task.split.value,
        "key": task.key,
        "source_id": task.source_id,
        "licence": task.licence,
        "verifier": task.verifier.name if task.verifier else None,
        "declared_tools": json.dumps([tool.to_openai() for tool in task.tools], ensure_ascii=False),
    }
    if not tool_names:
        return told
    arguments = {"create_kwargs": {"ground_truth": answer_of(task)}}
    return told | {
        "need_tools_kwargs": bool(task.tools),
        "tool_selection": sorted(tool.name for tool in task.tools),
        "tools_kwargs": dict.fromkeys(tool_names, arguments),
    }
