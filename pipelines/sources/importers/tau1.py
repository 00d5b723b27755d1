"""tau-bench, first edition: an agent, a simulated user, tools on a database (github.com/sierra-research/tau-bench, MIT).

The task is the policy and the script of the simulated user, which no agent sees. The logs hold no tool schemas.
"""

from typing import Any

from data_contracts.attempts import Flag, Outcome, RepeatKind, RewardPart, StopReason
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task
from pipelines.sources.importers.chat import Raw, RawMessage, add_messages, error_if, shape_flags
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.recording import Place, Recording, domain_and_model, recorded_policy
from pipelines.sources.importers.transcript import Transcript, TranscriptBuilder

GOODBYE = "###STOP###"
TRANSFER = "transfer_to_human_agents"


class _Scenario(Raw):
    instruction: str


class _Info(Raw):
    task: _Scenario


class _Row(Raw):
    task_id: int | str
    reward: float
    info: _Info
    traj: list[RawMessage]


class Tau1Importer:
    """One row is one trial at one task."""

    name = "tau1"
    licence = "MIT"

    def recognises(self, row: dict[str, Any]) -> bool:
        """By its three own keys."""
        return {"task_id", "reward", "traj"} <= row.keys()

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one row. Domain and model come from the file's name."""
        raw = _Row.model_validate(row)
        domain, model = domain_and_model(place)
        builder = TranscriptBuilder(error_if(lambda text: text.startswith("Error")))
        add_messages(builder, raw.traj)
        transcript = builder.build()
        recording = Recording(
            task=_task(raw, domain, self.name, self.licence),
            policy=recorded_policy(model),
            run=place.file,
            transcript=transcript,
            stop=_stop(transcript),
            outcome=Outcome.CORRECT if raw.reward > 0.0 else Outcome.WRONG,
            rewards=(RewardPart(name="recorded", value=raw.reward, version="tau1-log"),),
            flags=shape_flags(row["traj"]) | (set() if raw.reward in (0.0, 1.0) else {Flag.SHAPED_REWARD}),
            fingerprint=fingerprint_of(row["traj"]),
            further=RepeatKind.INDEPENDENT,
        )
        return [recording]


def _task(raw: _Row, domain: str, source: str, licence: str) -> Task:
    policy = [Message(role=Role.SYSTEM, content=m.content) for m in raw.traj[:1] if m.role == "system"]
    script = Message(role=Role.USER, content=raw.info.task.instruction)
    return Task.create(
        messages=(*policy, script),
        source=source,
        source_id=f"{domain}/{raw.task_id}",
        domain=domain,
        licence=licence,
        split=Split.TEST,
    )


def _stop(transcript: Transcript) -> StopReason:
    """The user says goodbye or the agent hands over; else the harness's limit, which the log does not state."""
    last = transcript.messages[-1] if transcript.messages else None
    if last is None:
        return StopReason.UNKNOWN
    said_goodbye = last.role is Role.USER and GOODBYE in last.content
    return StopReason.END if said_goodbye or last.name == TRANSFER else StopReason.UNKNOWN
