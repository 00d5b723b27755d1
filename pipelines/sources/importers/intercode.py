"""InterCode: shell commands, SQL and Python in a container (github.com/princeton-nlp/intercode, MIT).

The log holds the actions and what they gave, not the prompts: the question is all of the prompt that is read. The plan
of plan-and-solve runs is left out. Success is the best reward of any turn, as InterCode counts it. Where the model's
service withheld an answer, the harness noted the action "blocked" and stopped: a crashed run. Where a model that states
thoughts has spent its turns, the harness submits for it. Runs of one model differ in how it was prompted.
Errors are told by the head of the observation: further down stands what files contain. A non-zero exit that prints no
error (`diff` of two files that differ) is a result.
"""

import re
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from pydantic import Field

from data_contracts.attempts import Flag, Outcome, RepeatKind, RewardPart, StopReason
from data_contracts.ids import canonical_json
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task
from data_contracts.tools import ToolSpec
from pipelines.sources.importers.chat import Raw, error_if
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.recording import (
    TASKS_KEPT,
    Place,
    Recording,
    domain_and_model,
    origin,
    recorded_policy,
)
from pipelines.sources.importers.transcript import AskedCall, Transcript, TranscriptBuilder

PREFIX = "ic_"
SUBMIT, BLOCKED = "submit", "blocked"
TURNS_SPENT = "EXCEEDED MAX TURNS"
"""In place of the thought, where the harness submits."""
HIDDEN_TEST = "Failed Test Case"
HEAD_CHARS = 300

_ERROR = re.compile(r"Error executing|command not found|No such file|syntax error|invalid option|Malformed")


class _History(Raw):
    actions: list[str]
    observations: list[str | list[Any] | None]
    thoughts: list[str] = Field(default_factory=list)


class _Summary(Raw):
    max_reward: float
    turns_taken: int | None = None
    turns_max: int | None = None


class _Row(Raw):
    environment: str
    dataset: str
    task_id: int | str
    query: str
    turn_history: _History
    summary: _Summary


class InterCodeImporter:
    """One row is one episode."""

    name = "intercode"
    licence = "MIT"

    def recognises(self, row: dict[str, Any]) -> bool:
        """By its history of turns."""
        return {"turn_history", "summary", "query"} <= row.keys()

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one row. The model comes from the file's name `<environment>.<model>.jsonl`."""
        raw = _Row.model_validate(row)
        domain, model = raw.environment.removeprefix(PREFIX), domain_and_model(place)[1]
        transcript = _transcript(raw, domain)
        recording = Recording(
            task=_task(raw.query, f"{domain}/{PurePosixPath(raw.dataset).name}#{raw.task_id}", domain),
            policy=recorded_policy(model),
            run=origin(row, place),
            transcript=transcript,
            stop=_stop(raw),
            outcome=_outcome(raw),
            rewards=(RewardPart(name="recorded", value=raw.summary.max_reward, version="intercode-log"),),
            flags=_flags(raw),
            fingerprint=fingerprint_of(row["turn_history"]),
            further=RepeatKind.SEED,
        )
        return [recording]


def _tool(domain: str) -> ToolSpec:
    schema = {"type": "object", "properties": {"action": {"type": "string"}}, "required": ["action"]}
    return ToolSpec(name=domain, description=f"Execute {domain} in the container.", parameters=canonical_json(schema))


def _transcript(raw: _Row, domain: str) -> Transcript:
    history, builder = raw.turn_history, TranscriptBuilder(error_if(lambda text: _ERROR.search(text[:HEAD_CHARS])))
    builder.say(Role.USER, raw.query)
    for n, action in enumerate(history.actions):
        thought = history.thoughts[n] if n < len(history.thoughts) else ""
        builder.turn(thought, [AskedCall.of(domain, {"action": action})])
        if n < len(history.observations):
            builder.result(_as_text(history.observations[n]))
    return builder.build()


def _as_text(observation: str | list[Any] | None) -> str:
    if observation is None:
        return ""
    return observation if isinstance(observation, str) else canonical_json(observation)


def _is_blocked(raw: _Row) -> bool:
    """Whether the last action is none of the model's, but what the harness noted in its place."""
    history = raw.turn_history
    return history.actions[-1:] == [BLOCKED] and len(history.observations) < len(history.actions)


def _outcome(raw: _Row) -> Outcome:
    if _is_blocked(raw):
        return Outcome.VOID
    return Outcome.CORRECT if raw.summary.max_reward >= 1.0 else Outcome.WRONG


def _stop(raw: _Row) -> StopReason:
    if _is_blocked(raw):
        return StopReason.ENVIRONMENT_ERROR
    if any(TURNS_SPENT in thought for thought in raw.turn_history.thoughts[-1:]):
        return StopReason.MAX_TURNS
    if raw.summary.max_reward >= 1.0 or raw.turn_history.actions[-1:] == [SUBMIT]:
        return StopReason.END
    reached = raw.summary.turns_max is not None and raw.summary.turns_taken == raw.summary.turns_max
    return StopReason.MAX_TURNS if reached else StopReason.UNKNOWN


def _flags(raw: _Row) -> set[Flag]:
    found = {
        Flag.MISSING_PROMPT: True,
        Flag.CRASHED_RUN: _is_blocked(raw),
        Flag.PARTIAL_REWARD: 0.0 < raw.summary.max_reward < 1.0,
        Flag.ORACLE_HINT: any(HIDDEN_TEST in _as_text(text) for text in raw.turn_history.observations),
    }
    return {flag for flag, holds in found.items() if holds}


@lru_cache(maxsize=TASKS_KEPT)
def _task(query: str, source_id: str, domain: str) -> Task:
    """The reference solution is not in the log: the task has no verifier."""
    return Task.create(
        messages=(Message(role=Role.USER, content=query),),
        tools=(_tool(domain),),
        source=InterCodeImporter.name,
        source_id=source_id,
        domain=domain,
        licence=InterCodeImporter.licence,
        split=Split.TEST,
    )
