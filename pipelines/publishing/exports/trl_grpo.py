"""TRL's GRPOTrainer: `prompt`, and columns that reward functions get by their names (trl 1.16)."""

import json
from collections.abc import Iterable

import pyarrow as pa

from data_contracts.tasks import Task
from pipelines.publishing.exports.export import TRAIN, Export, table_of
from pipelines.publishing.exports.task_rows import answer_of, judged, prompt_of

_TEXT = pa.string()
_COLUMNS = dict.fromkeys(("key", "answer", "verifier", "declared_tools", "domain", "source", "licence"), _TEXT)


def trl_grpo(tasks: Iterable[Task]) -> Export:
    """Tools are callables there, given to the trainer: `declared_tools` says, as JSON text, what ours were."""
    kept, left_out = judged(tasks)
    rows = [
        {
            "key": task.key,
            "prompt": prompt_of(task),
            "answer": answer_of(task),
            "verifier": task.verifier.name if task.verifier else None,
            "declared_tools": json.dumps([tool.to_openai() for tool in task.tools], ensure_ascii=False),
            "domain": task.domain,
            "source": task.source,
            "licence": task.licence,
        }
        for task in kept
    ]
    prompt = pa.list_(pa.struct([("role", _TEXT), ("content", _TEXT)]))
    return Export({TRAIN: table_of(rows, {"prompt": prompt} | _COLUMNS)}, left_out)
