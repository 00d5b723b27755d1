"""verifiers, and through it prime-rl: a row a task, for a taskset that reads question, answer and info (verifiers 0.4)."""

import json
from collections.abc import Iterable

import pyarrow as pa

from data_contracts.messages import Role
from data_contracts.tasks import Task
from pipelines.publishing.exports.export import TRAIN, Export, table_of
from pipelines.publishing.exports.task_rows import answer_of, judged, prompt_of

_TEXT = pa.string()
_MESSAGES = pa.list_(pa.struct([("role", _TEXT), ("content", _TEXT)]))
_COLUMNS = {"id": _TEXT, "prompt": _MESSAGES, "question": _TEXT, "answer": _TEXT, "task": _TEXT, "info": _TEXT}


def verifiers_rl(tasks: Iterable[Task]) -> Export:
    """`info` is JSON text, as a struct would give every row the fields of all."""
    kept, left_out = judged(tasks)
    rows = [
        {
            "id": task.key,
            "prompt": prompt_of(task),
            "question": _question(task),
            "answer": answer_of(task),
            "task": task.domain,
            "info": json.dumps(_info(task), ensure_ascii=False),
        }
        for task in kept
    ]
    return Export({TRAIN: table_of(rows, _COLUMNS)}, left_out)


def _question(task: Task) -> str:
    """What the user says last; empty where the user says nothing."""
    said = [message["content"] for message in prompt_of(task) if message["role"] == Role.USER.value]
    return str(said[-1]) if said else ""


def _info(task: Task) -> dict[str, object]:
    return {
        "verifier": task.verifier.name if task.verifier else None,
        "tools": [tool.to_openai() for tool in task.tools],
        "limits": task.limits.model_dump(mode="json"),
        "source": task.source,
        "source_id": task.source_id,
        "licence": task.licence,
    }
