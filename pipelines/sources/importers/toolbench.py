"""ToolBench: a depth-first search over calls of web APIs (github.com/OpenBMB/ToolBench, Apache-2.0).

The tree is read whole, branch after branch in the order in which it grew (flag SEARCH_TREE). That the model gave an
answer is all that the log calls success: nobody checked it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from pydantic import Field

from data_contracts.attempts import CallStatus, Flag, Outcome, RepeatKind, StopReason
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task
from data_contracts.tools import ToolSpec
from pipelines.sources.importers.chat import Raw
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.recording import Place, Recording, origin, recorded_policy
from pipelines.sources.importers.transcript import AskedCall, Transcript, TranscriptBuilder

GAVE_ANSWER = "give_answer"
THOUGHT, ACTION, INPUT = "Thought", "Action", "Action Input"

_FILE = re.compile(r"\d+_(?P<model>[^_]+)_DFS")


class _Node(Raw):
    node_type: str
    description: str
    observation: str | None = None
    children: list["_Node"] = Field(default_factory=list)


class _Tree(Raw):
    tree: _Node


class _Function(Raw):
    name: str
    description: str = ""
    parameters: dict[str, Any]


class _Answer(Raw):
    query: str
    function: list[_Function]
    final_answer: str = ""
    finish_type: str | None = None


class _Row(Raw):
    tree: _Tree
    answer_generation: _Answer


class ToolBenchImporter:
    """One row is one search."""

    name = "toolbench"
    licence = "Apache-2.0"

    def recognises(self, row: dict[str, Any]) -> bool:
        """By its tree and answer."""
        return {"tree", "answer_generation"} <= row.keys()

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one row. Part, query and model come from the path `<part>/<n>_<model>_DFS_<..>.json`."""
        raw = _Row.model_validate(row)
        path = PurePosixPath(origin(row, place))
        found = _FILE.match(path.name)
        if found is None:
            raise ValueError(f"{path} names no model: expected <part>/<n>_<model>_DFS_<..>.json")
        answer = raw.answer_generation
        recording = Recording(
            task=_task(answer, path, self.name, self.licence),
            policy=recorded_policy(f"{found['model']}-DFSDT"),
            run=str(path),
            transcript=_transcript(raw),
            stop=StopReason.END if answer.finish_type == GAVE_ANSWER else StopReason.UNKNOWN,
            outcome=Outcome.UNLABELLED,
            rewards=(),
            flags={Flag.UNVERIFIED, Flag.SEARCH_TREE},
            fingerprint=fingerprint_of(row["tree"]),
            further=RepeatKind.SEED,
            answer=answer.final_answer or None,
        )
        return [recording]


def _transcript(raw: _Row) -> Transcript:
    """A thought and the actions that follow it are one turn each; the root is no call."""
    builder, thoughts, name = TranscriptBuilder(_status), list[str](), None
    builder.say(Role.USER, raw.answer_generation.query)
    for node in _nodes(raw.tree.tree):
        if node.node_type == THOUGHT:
            thoughts.append(node.description)
        elif node.node_type == ACTION:
            name = node.description
        elif node.node_type == INPUT and name is not None:
            builder.turn("\n".join(thoughts), [AskedCall(name, node.description)])
            thoughts, name = [], None
            if node.observation is not None:
                builder.result(node.observation)
    if thoughts:
        builder.turn("\n".join(thoughts))
    return builder.build()


def _nodes(root: _Node) -> Iterator[_Node]:
    """Depth first, older branches first; without recursion."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(node.children))


def _status(text: str) -> CallStatus:
    """By the field `error` of the result, which is JSON text and may be cut."""
    try:
        result = json.loads(text)
    except ValueError:
        return (
            CallStatus.ERROR
            if text.startswith('{"error": "') and not text.startswith('{"error": ""')
            else CallStatus.OK
        )
    return CallStatus.ERROR if isinstance(result, dict) and result.get("error") else CallStatus.OK


def _task(answer: _Answer, path: PurePosixPath, source: str, licence: str) -> Task:
    tools = tuple(
        ToolSpec(
            name=tool.name, description=tool.description, parameters=json.dumps(tool.parameters, ensure_ascii=False)
        )
        for tool in answer.function
    )
    return Task.create(
        messages=(Message(role=Role.USER, content=answer.query),),
        tools=tools,
        source=source,
        source_id=f"{path.parent.name}/{path.name}",
        domain=path.parent.name,
        licence=licence,
        split=Split.TEST,
    )
