"""ATIF, the Agent Trajectory Interchange Format of Harbor and terminal-bench (RFC 0001; read against version 1.4).

One document is one run. The format has no verdict: it is that of [recorded.labels], else the reward in the trial's
`result.json` (`verifier_result.rewards.reward`), which Harbor writes beside the agent's folder; a trial that ended with
an exception and without a reward is a crashed run. What a sub-agent did stands in a document of its own (flag BRANCHED).
Fields of later versions that are read: the tools that the agent declares (1.5), text as a list of parts (1.6). These two and
the layout of `result.json` were not checked against real runs.
"""

from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from data_contracts.attempts import Flag, Outcome, RepeatKind, StopReason
from data_contracts.ids import content_hash
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task
from pipelines.sources.importers.chat import Raw, Text, begins_with_error, error_if
from pipelines.sources.importers.declared import tool_specs
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.labels import Label, label_at, label_of, number, value_at
from pipelines.sources.importers.lines import read_document
from pipelines.sources.importers.recipe import RecordedRecipe
from pipelines.sources.importers.recording import Place, Recording, recorded_policy
from pipelines.sources.importers.transcript import AskedCall, Transcript, TranscriptBuilder

VERSION = "atif-log"
RESULT = "result.json"
REWARD = "verifier_result.rewards.reward"


class _Call(Raw):
    tool_call_id: str
    function_name: str
    arguments: dict[str, Any]

    def asked(self) -> AskedCall:
        return AskedCall.of(self.function_name, self.arguments, self.tool_call_id)


class _Result(Raw):
    source_call_id: str | None = None
    content: Text = ""
    subagent_trajectory_ref: list[Any] | None = None


class _Observation(Raw):
    results: list[_Result]


class _Step(Raw):
    source: Literal["system", "user", "agent"]
    message: Text
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None
    observation: _Observation | None = None

    @property
    def results(self) -> list[_Result]:
        return self.observation.results if self.observation else []


class _Agent(Raw):
    name: str
    version: str
    model_name: str | None = None


class _Row(Raw):
    schema_version: str
    agent: _Agent
    steps: list[_Step]


class AtifImporter:
    """One row is one run."""

    name = "atif"

    def __init__(self, recipe: RecordedRecipe) -> None:
        """The recipe gives licence, label and, where the run names none, the model."""
        self._recipe = recipe
        self.licence = recipe.licence or ""

    def recognises(self, row: dict[str, Any]) -> bool:
        """By the name of its schema."""
        return str(row.get("schema_version", "")).startswith("ATIF") and "steps" in row

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one document. The policy is the model in its agent: `model/agent`."""
        raw = _Row.model_validate(row)
        model = raw.agent.model_name or self._recipe.model
        if not model:
            raise ValueError("the run names no model: set [recorded] model")
        transcript, result = _transcript(raw.steps), _trial(place)
        label = self._label(row, result, transcript)
        recording = Recording(
            task=_task(raw, tool_specs(value_at(row, "agent.tool_definitions")), result, self.licence),
            policy=recorded_policy(f"{model}/{raw.agent.name}"),
            run=f"{raw.agent.version} {place.file}",
            transcript=transcript,
            stop=_stop(label, transcript),
            outcome=label.outcome,
            rewards=label.rewards,
            flags=label.flags | _shape(raw.steps),
            fingerprint=fingerprint_of([step.model_dump() for step in raw.steps]),
            further=RepeatKind.INDEPENDENT,
        )
        return [recording]

    def _label(self, row: dict[str, Any], result: dict[str, Any], transcript: Transcript) -> Label:
        if self._recipe.labels is not None:
            return label_at(row, self._recipe.labels, transcript, VERSION)
        reward = number(value_at(result, REWARD), REWARD)
        if reward is None and result.get("exception_info"):
            return Label(Outcome.VOID, frozenset({Flag.CRASHED_RUN}), ())
        return label_of(reward, 1.0, "", transcript, VERSION)


def _trial(place: Place) -> dict[str, Any]:
    """What Harbor says of the trial: `<trial>/result.json` for `<trial>/agent/trajectory.json`; {} where it says nothing."""
    path = place.folder / PurePosixPath(place.file).parent.parent / RESULT
    return _document(path) if path.is_file() else {}


@lru_cache(maxsize=64)
def _document(path: Path) -> dict[str, Any]:
    (line,) = read_document(path)
    if line.row is None:
        raise ValueError(f"{path.name} of the trial cannot be read: {line.problem}")
    return line.row


def _transcript(steps: list[_Step]) -> Transcript:
    """Results without a call are what the agent was told: messages of the user."""
    builder = TranscriptBuilder(error_if(begins_with_error))
    for step in steps:
        if step.source == "agent":
            builder.turn(step.message, [call.asked() for call in step.tool_calls or ()], step.reasoning_content)
        else:
            builder.say(Role.SYSTEM if step.source == "system" else Role.USER, step.message)
        for result in sorted(step.results, key=lambda result: result.source_call_id is None):
            if result.source_call_id is not None:
                builder.result(result.content, result.source_call_id)
            elif result.content:
                builder.say(Role.USER, result.content)
    return builder.build()


def _stop(label: Label, transcript: Transcript) -> StopReason:
    if label.outcome is Outcome.VOID:
        return StopReason.ENVIRONMENT_ERROR
    return StopReason.END if transcript.ends_with_answer else StopReason.UNKNOWN


def _shape(steps: list[_Step]) -> set[Flag]:
    found = {
        Flag.BRANCHED: any(result.subagent_trajectory_ref for step in steps for result in step.results),
        Flag.ARGUMENTS_AS_OBJECTS: any(step.tool_calls for step in steps),
    }
    return {flag for flag, holds in found.items() if holds}


def _task(raw: _Row, tools: tuple[Any, ...], result: dict[str, Any], licence: str) -> Task:
    first_turn = next((n for n, step in enumerate(raw.steps) if step.source == "agent"), len(raw.steps))
    roles = {"system": Role.SYSTEM, "user": Role.USER}
    messages = tuple(Message(role=roles[step.source], content=step.message) for step in raw.steps[:first_turn])
    name = result.get("task_name")
    return Task.create(
        messages=messages,
        tools=tools,
        source=AtifImporter.name,
        source_id=name if isinstance(name, str) else content_hash([m.plain() for m in messages])[:12],
        domain=raw.agent.name,
        licence=licence,
        split=Split.TRAIN,
    )
