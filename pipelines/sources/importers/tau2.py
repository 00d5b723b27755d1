"""tau2-bench: an agent, a simulated user who may have tools too (github.com/sierra-research/tau2-bench, MIT).

Policy, tasks and tickets stand in `run_info/` beside the log, in a file of the same name. With it the policy is the
first message, as the agent read it but for the harness's own words around it; an agent without a user ("solo") reads
its ticket next. Without it the task is known by its id alone (flag MISSING_PROMPT). Rows of `run_info` are no
trajectories. A result is an error where the log says so or its text begins with `Error`: older logs say nothing.
"""

from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from data_contracts.attempts import CallStatus, Flag, Outcome, RepeatKind, RewardPart, StopReason
from data_contracts.ids import canonical_json
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task
from pipelines.sources.importers.chat import Raw, Text, error_if, shape_flags
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.lines import read_lines
from pipelines.sources.importers.recording import Place, Recording, domain_and_model, recorded_policy
from pipelines.sources.importers.transcript import AskedCall, Transcript, TranscriptBuilder

RUN_INFO = "run_info"
STOPS = {"user_stop": StopReason.END, "agent_stop": StopReason.END, "max_steps": StopReason.MAX_TURNS}


class _Call(Raw):
    id: str | None = None
    name: str
    arguments: dict[str, Any]

    def asked(self) -> AskedCall:
        return AskedCall.of(self.name, self.arguments, self.id)


class _Message(Raw):
    role: Literal["system", "user", "assistant", "tool"]
    content: Text = ""
    tool_calls: list[_Call] | None = None
    id: str | None = None
    requestor: Literal["user", "assistant"] = "assistant"
    error: bool | None = None


class _Reward(Raw):
    reward: float


class _Row(Raw):
    task_id: str
    messages: list[_Message]
    reward_info: _Reward | None = None
    termination_reason: str


def _scenario_text(value: Any) -> Any:
    return canonical_json(value) if isinstance(value, dict | list) else value


class _TaskInfo(Raw):
    id: str
    user_scenario: Annotated[str, BeforeValidator(_scenario_text)]
    ticket: str | None = None


class _Environment(Raw):
    policy: str


class _AgentInfo(Raw):
    implementation: str


class _Info(Raw):
    environment_info: _Environment
    agent_info: _AgentInfo


class _RunInfo(Raw):
    info: _Info
    tasks: list[_TaskInfo]

    def of(self, task_id: str) -> _TaskInfo | None:
        """The definition of a task; None where there is none."""
        return next((task for task in self.tasks if task.id == task_id), None)

    @property
    def is_solo(self) -> bool:
        """Whether the agent works on a ticket, without a user."""
        return "solo" in self.info.agent_info.implementation


class Tau2Importer:
    """One row is one simulation."""

    name = "tau2"
    licence = "MIT"

    def recognises(self, row: dict[str, Any]) -> bool:
        """By its reason of termination and rewards; the description of a run too, so that it is named as such."""
        return {"task_id", "messages", "termination_reason", "reward_info"} <= row.keys() or _is_run_info(row)

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one row. Domain and model come from the file's name `<domain>.<model>.jsonl`."""
        if _is_run_info(row):
            raise ValueError("the description of a run, which holds no trajectory: it is read with the run's log")
        raw = _Row.model_validate(row)
        domain, model = domain_and_model(place)
        info = _run_info(place.folder / PurePosixPath(place.file).parent / RUN_INFO / PurePosixPath(place.file).name)
        defined = info.of(raw.task_id) if info else None
        recording = Recording(
            task=_task(raw, info, domain, self.name, self.licence),
            policy=recorded_policy(model),
            run=place.file,
            transcript=_transcript(raw, info),
            stop=STOPS.get(raw.termination_reason, StopReason.UNKNOWN),
            outcome=_outcome(raw.reward_info),
            rewards=_rewards(raw.reward_info),
            flags=_flags(raw, defined is not None) | shape_flags(row["messages"]),
            fingerprint=fingerprint_of([message.model_dump() for message in raw.messages]),
            further=RepeatKind.SEED,
        )
        return [recording]


def _is_run_info(row: dict[str, Any]) -> bool:
    return {"info", "tasks"} <= row.keys() and "messages" not in row


@lru_cache(maxsize=64)
def _run_info(path: Path) -> _RunInfo | None:
    """The run's description; None where there is no such file or it cannot be read."""
    row = next((line.row for line in read_lines(path)), None) if path.is_file() else None
    return None if row is None else _RunInfo.model_validate(row)


def _transcript(raw: _Row, info: _RunInfo | None) -> Transcript:
    """The policy and, for an agent without a user, the ticket; then what was said."""
    builder = TranscriptBuilder(error_if(lambda text: text.startswith("Error")))
    task = info.of(raw.task_id) if info else None
    if info and task:
        builder.say(Role.SYSTEM, info.info.environment_info.policy)
        if info.is_solo and task.ticket:
            builder.say(Role.USER, task.ticket)
    for said in raw.messages:
        _add(builder, said)
    return builder.build()


def _add(builder: TranscriptBuilder, message: _Message) -> None:
    calls = [call.asked() for call in message.tool_calls or ()]
    if message.role == "assistant":
        builder.turn(message.content, calls)
    elif message.role != "tool":
        builder.say(Role(message.role), message.content, calls)
    elif message.requestor == "user":
        builder.user_result(message.content, message.id)
    else:
        builder.result(message.content, message.id, CallStatus.ERROR if message.error else None)


def _outcome(reward: _Reward | None) -> Outcome:
    if reward is None:
        return Outcome.UNLABELLED
    return Outcome.CORRECT if reward.reward >= 1.0 else Outcome.WRONG


def _rewards(reward: _Reward | None) -> tuple[RewardPart, ...]:
    return (RewardPart(name="recorded", value=reward.reward, version="tau2-log"),) if reward else ()


def _flags(raw: _Row, has_prompt: bool) -> set[Flag]:
    found = {
        Flag.MISSING_PROMPT: not has_prompt,
        Flag.USER_CALLS: any(message.role == "user" and message.tool_calls for message in raw.messages),
        Flag.PARTIAL_REWARD: raw.reward_info is not None and 0.0 < raw.reward_info.reward < 1.0,
    }
    return {flag for flag, holds in found.items() if holds}


def _task(raw: _Row, info: _RunInfo | None, domain: str, source: str, licence: str) -> Task:
    """The policy, and the task's id with the user's script: scripts are equal where only the state of the world differs."""
    defined = info.of(raw.task_id) if info else None
    policy = (Message(role=Role.SYSTEM, content=info.info.environment_info.policy),) if info and defined else ()
    script = f"{domain} task {raw.task_id}" + (f"\n{defined.user_scenario}" if defined else "")
    return Task.create(
        messages=(*policy, Message(role=Role.USER, content=script)),
        source=source,
        source_id=f"{domain}/{raw.task_id}",
        domain=domain,
        licence=licence,
        split=Split.TEST,
    )
