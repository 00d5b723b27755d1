"""NeMo Gym: rollouts in the form of OpenAI's Responses API (github.com/NVIDIA-NeMo/Gym, Apache-2.0).

Items of one answer of the model (reasoning, text, calls) make one turn. Some environments give their prompt only to the
agent: the task is then the problem statement in the metadata, or else known by its place alone (flag MISSING_PROMPT).
An error is told by an exception's name near the head of the result; a non-zero exit code alone is not.
"""

import json
import re
from typing import Any, Literal

from data_contracts.attempts import Flag, Outcome, RepeatKind, RewardPart, StopReason
from data_contracts.ids import content_hash
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task
from data_contracts.tools import ToolSpec
from pipelines.sources.importers.chat import Raw, Text, error_if
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.recording import Place, Recording, origin, recorded_policy
from pipelines.sources.importers.transcript import AskedCall, Transcript, TranscriptBuilder

HEAD_CHARS = 2000

_ERROR = re.compile(r"Traceback|\wError\b")


class _Input(Raw):
    role: Literal["system", "developer", "user"]
    content: Text

    def message(self) -> Message:
        return Message(role=Role.USER if self.role == "user" else Role.SYSTEM, content=self.content)


class _Tool(Raw):
    name: str
    description: str | None = None
    parameters: dict[str, Any]


class _Metadata(Raw):
    problem_statement: str | None = None


class _Params(Raw):
    input: list[_Input]
    tools: list[_Tool] | None = None
    metadata: _Metadata | None = None


class _Item(Raw):
    type: Literal["reasoning", "message", "function_call", "function_call_output"]
    content: Text = ""
    summary: Text = ""
    name: str | None = None
    arguments: str = ""
    call_id: str | None = None
    output: Text = ""


class _Response(Raw):
    model: str
    output: list[_Item]


class _Row(Raw):
    responses_create_params: _Params
    response: _Response
    reward: float


class NemoGymImporter:
    """One row is one rollout."""

    name = "nemo_gym"
    licence = "Apache-2.0"

    def recognises(self, row: dict[str, Any]) -> bool:
        """By its request, response and reward."""
        return {"responses_create_params", "response", "reward"} <= row.keys()

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one row. The environment is the file's name."""
        raw = _Row.model_validate(row)
        prompt = _prompt(raw.responses_create_params)
        transcript = _transcript(prompt, raw.response.output)
        recording = Recording(
            task=_task(raw, prompt, f"{place.stem} at {_where(row, place)}", place.stem, self),
            policy=recorded_policy(raw.response.model),
            run=place.stem,
            transcript=transcript,
            stop=StopReason.END if transcript.ends_with_answer else StopReason.UNKNOWN,
            outcome=Outcome.CORRECT if raw.reward >= 1.0 else Outcome.WRONG,
            rewards=(RewardPart(name="recorded", value=raw.reward, version="nemo-gym-log"),),
            flags=_flags(raw),
            fingerprint=fingerprint_of(row["response"]),
            further=RepeatKind.INDEPENDENT,
        )
        return [recording]


def _where(row: dict[str, Any], place: Place) -> str:
    helper = row.get("_src")
    line = helper.get("line", place.line) if isinstance(helper, dict) else place.line
    return f"{origin(row, place)}:{line}"


def _prompt(params: _Params) -> tuple[Message, ...]:
    if params.input:
        return tuple(item.message() for item in params.input)
    statement = params.metadata.problem_statement if params.metadata else None
    return (Message(role=Role.USER, content=statement),) if statement else ()


def _transcript(prompt: tuple[Message, ...], items: list[_Item]) -> Transcript:
    builder = TranscriptBuilder(error_if(lambda text: _ERROR.search(text[:HEAD_CHARS])))
    for message in prompt:
        builder.say(message.role, message.content)
    answer = list[_Item]()
    for item in items:
        if answer and (item.type == "function_call_output" or _begins_turn(item, answer[-1])):
            _add_turn(builder, answer)
            answer = []
        if item.type == "function_call_output":
            builder.result(item.output, item.call_id)
        else:
            answer.append(item)
    if answer:
        _add_turn(builder, answer)
    return builder.build()


def _begins_turn(item: _Item, before: _Item) -> bool:
    """Reasoning begins a turn; text does where no reasoning is before it."""
    return item.type == "reasoning" or (item.type == "message" and before.type != "reasoning")


def _add_turn(builder: TranscriptBuilder, items: list[_Item]) -> None:
    reasoning = "".join(item.summary + item.content for item in items if item.type == "reasoning")
    calls = [AskedCall(item.name or "", item.arguments, item.call_id) for item in items if item.type == "function_call"]
    builder.turn("".join(item.content for item in items if item.type == "message"), calls, reasoning or None)


def _flags(raw: _Row) -> set[Flag]:
    found = {
        Flag.MISSING_PROMPT: not raw.responses_create_params.input,
        Flag.PARTIAL_REWARD: 0.0 < raw.reward < 1.0,
        Flag.BLOCK_CONTENT: any(item.type == "message" for item in raw.response.output),
    }
    return {flag for flag, holds in found.items() if holds}


def _task(raw: _Row, prompt: tuple[Message, ...], place: str, environment: str, importer: NemoGymImporter) -> Task:
    messages = prompt or (Message(role=Role.USER, content=place),)
    return Task.create(
        messages=messages,
        tools=tuple(_tool_spec(tool) for tool in raw.responses_create_params.tools or ()),
        source=importer.name,
        source_id=f"{environment}/{content_hash([m.plain() for m in messages])[:12]}",
        domain=environment,
        licence=importer.licence,
        split=Split.TEST,
    )


def _tool_spec(tool: _Tool) -> ToolSpec:
    parameters = json.dumps(tool.parameters, ensure_ascii=False)
    return ToolSpec(name=tool.name, description=tool.description or "", parameters=parameters)
