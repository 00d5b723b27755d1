r"""Results of `vf-eval` (github.com/PrimeIntellect-ai/verifiers, MIT).

Known traps: a crashed run has no completion and reward 0; a lost transcript has a reward but no completion; a broken
grader says 0 to a `\boxed{}` that equals the answer letter for letter; the total reward may be shaped, so that the
verdict is the reward function that judges the answer.
What the wiki tools say to an id that does not exist ("Section not found: ...") is read as a result, not as an error.
"""

import json
import re
from typing import Any

from data_contracts.attempts import Flag, Outcome, RepeatKind, RewardPart, StopReason
from data_contracts.ids import content_hash
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task, VerifierRef
from data_contracts.tools import ToolSpec
from pipelines.sources.importers.chat import (
    Raw,
    RawMessage,
    add_messages,
    add_prompt,
    error_if,
    shape_flags,
    without_nulls,
)
from pipelines.sources.importers.declared import tool_specs
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.labels import boxed
from pipelines.sources.importers.recipe import RecordedRecipe
from pipelines.sources.importers.recording import Place, Recording, origin, recorded_policy
from pipelines.sources.importers.transcript import Transcript, TranscriptBuilder

JUDGES = ("correct_answer_reward_func", "check_answer_reward_func", "judge_reward_func", "tool_call_reward_func")
"""Reward functions that judge the answer alone; a row has one of them."""
TURNS_SPENT = "max_turns_reached"
REPOSITORY_LICENCE = "MIT"
"""Of the logs that were collected from verifiers' repository; they carry `_src`."""
MATH_ENVIRONMENTS = frozenset({"gsm8k", "math_python"})

_ERROR = re.compile(
    r"^Traceback|\wError\b|^Invalid section_id|unexpected keyword argument|missing \d+ required|^'[^']*'$"
)
"""Results that are the text of an exception; a bare quoted string is what KeyError prints."""
_PLACE = re.compile(r"(?P<environment>[^/]+?)--(?P<model>[^/]+)/(?P<run>[^/]+)/[^/]+$")


class _Function(Raw):
    name: str
    description: str = ""
    parameters: dict[str, Any]


class _Tool(Raw):
    function: _Function


class _Info(Raw):
    oai_tools: list[_Tool] | None = None


class _Row(Raw):
    prompt: list[RawMessage]
    completion: list[RawMessage]
    reward: float
    answer: str = ""
    info: _Info | None = None
    tool_defs: list[dict[str, Any]] | None = None
    error: dict[str, Any] | None = None
    is_truncated: bool = False
    stop_condition: str | None = None
    judged: float | None = None
    origin: str
    """Path of the log in the repository that it came from, or of the file itself."""


class VerifiersImporter:
    """One row is one rollout."""

    name = "verifiers"

    def __init__(self, recipe: RecordedRecipe) -> None:
        """The recipe gives licence and model of runs that are not of verifiers' own repository."""
        self._recipe = recipe
        self.licence = recipe.licence or ""

    def recognises(self, row: dict[str, Any]) -> bool:
        """By prompt, completion and reward."""
        return {"prompt", "completion", "reward"} <= row.keys()

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one row. Environment, model and run come from the path `<environment>--<model>/<run>/results.jsonl`,
        or the model from the recipe and the environment from the file's name."""
        raw = _Row.model_validate({**row, "judged": _judged(row), "origin": origin(row, place)})
        environment, model, run = _environment_model_run(raw.origin, place, self._recipe.model)
        builder = TranscriptBuilder(error_if(_ERROR.search))
        add_prompt(builder, raw.prompt)
        add_messages(builder, raw.completion)
        transcript = builder.build()
        outcome, flags = _judgement(raw, transcript)
        recording = Recording(
            task=_task(raw, environment, self.name, REPOSITORY_LICENCE if "_src" in row else self.licence),
            policy=recorded_policy(model),
            run=run,
            transcript=transcript,
            stop=_stop(raw, transcript),
            outcome=outcome,
            rewards=_rewards(raw),
            flags=flags | shape_flags([*row["prompt"], *row["completion"]]),
            fingerprint=fingerprint_of(row["completion"]),
            further=RepeatKind.INDEPENDENT,
        )
        return [recording]


def _judged(row: dict[str, Any]) -> Any:
    return next((row[name] for name in JUDGES if name in row), None)


def _environment_model_run(path: str, place: Place, model: str | None) -> tuple[str, str, str]:
    found = _PLACE.search(path)
    if found is None and model:
        return place.stem, model, place.file
    if found is None:
        raise ValueError(
            f"{path} names no model: expected .../<environment>--<model>/<run>/results.jsonl, or set [recorded] model"
        )
    return found["environment"].replace("-", "_"), found["model"], found["run"]


def _task(raw: _Row, environment: str, source: str, licence: str) -> Task:
    """Prompt and tools are part of the task's key; `source_id` names the question alone."""
    question = raw.prompt[-1].content if raw.prompt else ""
    gradable = environment in MATH_ENVIRONMENTS and raw.answer.strip()
    return Task.create(
        messages=tuple(Message(role=Role(m.role), content=m.content) for m in raw.prompt),
        tools=tuple(_tool_spec(tool.function) for tool in (raw.info and raw.info.oai_tools) or ())
        or tool_specs(raw.tool_defs),
        verifier=VerifierRef(name="math", reference=raw.answer) if gradable else None,
        source=source,
        source_id=f"{environment}/{content_hash([question, raw.answer])[:12]}",
        domain=environment,
        licence=licence,
        split=Split.TEST,
    )


def _tool_spec(function: _Function) -> ToolSpec:
    parameters = json.dumps(without_nulls(function.parameters), ensure_ascii=False)
    return ToolSpec(name=function.name, description=function.description, parameters=parameters)


def _stop(raw: _Row, transcript: Transcript) -> StopReason:
    if raw.error is not None:
        return StopReason.ENVIRONMENT_ERROR
    if raw.stop_condition == TURNS_SPENT:
        return StopReason.MAX_TURNS
    if raw.is_truncated:
        return StopReason.LENGTH
    return StopReason.END if transcript.ends_with_answer else StopReason.UNKNOWN


def _judgement(raw: _Row, transcript: Transcript) -> tuple[Outcome, set[Flag]]:
    verdict = raw.reward if raw.judged is None else raw.judged
    if raw.error is not None:
        return Outcome.VOID, {Flag.CRASHED_RUN}
    if not raw.completion:
        lost = verdict > 0.0
        return (Outcome.UNLABELLED, {Flag.MISSING_TRANSCRIPT}) if lost else (Outcome.VOID, {Flag.CRASHED_RUN})
    if verdict <= 0.0 and raw.answer.strip() and boxed(transcript) == raw.answer.strip():
        return Outcome.UNLABELLED, {Flag.BROKEN_GRADER}
    flags = set[Flag]() if raw.reward == verdict else {Flag.SHAPED_REWARD}
    return Outcome.CORRECT if verdict >= 1.0 else Outcome.WRONG, flags


def _rewards(raw: _Row) -> tuple[RewardPart, ...]:
    return (
        RewardPart(name="recorded", value=raw.reward, version="verifiers-log"),
        RewardPart(name="recorded_verdict", value=raw.judged, version="verifiers-log"),
    )
