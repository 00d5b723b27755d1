"""prime-rl's saved rollouts and those of verifiers' v1 evaluations: one episode a line, a trace per agent
(github.com/PrimeIntellect-ai/prime-rl `rollouts/step_N/<kind>/<subset>/traces.jsonl`, read at 559b447).

Until July 2026 both wrote `results.jsonl` or `train_rollouts.jsonl` in the older form, which the verifiers importer reads.
Only agents that the run trains are attempts. A trace is a graph of messages: the line that ends at the last message is
read, further ones are told by a flag. The verdict is the one reward, or the weighted sum of several (flag SHAPED_REWARD
where it is none). What scoring did not reach is unlabelled; a rollout that broke off in an error is a crashed run.
prime-rl writes an episode to `all/` and, where it was trained on, to `effective/` again: read one of the two.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from data_contracts.attempts import Flag, Outcome, RepeatKind, RewardPart, StopReason
from data_contracts.ids import content_hash
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task
from pipelines.sources.importers.chat import Raw, Text, begins_with_error, error_if
from pipelines.sources.importers.declared import tool_specs
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.labels import Label, label_at, label_of
from pipelines.sources.importers.recipe import RecordedRecipe
from pipelines.sources.importers.recording import Place, Recording, recorded_policy
from pipelines.sources.importers.transcript import AskedCall, Transcript, TranscriptBuilder

VERSION = "prime-rl-log"
FAILED = "error"
STOPS = {"max_turns": StopReason.MAX_TURNS, "max_total_tokens": StopReason.LENGTH, "context_length": StopReason.LENGTH}


class _Call(Raw):
    id: str
    name: str
    arguments: str


class _Said(Raw):
    role: Literal["system", "user", "assistant", "tool"]
    content: Text = ""
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _Node(Raw):
    parent: int | None = None
    message: _Said


class _Reward(Raw):
    score: float
    weight: float = 1.0


class _Config(Raw):
    model: str | None = None


class _Agent(Raw):
    config: _Config = _Config()
    name: str = "agent"
    trainable: bool = True


class _ModelCall(Raw):
    model: str | None = None


def _tool_list(value: Any) -> Any:
    return tool_specs(value)


class _Trace(Raw):
    agent: _Agent
    tools: Annotated[tuple[Any, ...], BeforeValidator(_tool_list)] = ()
    nodes: list[_Node] = Field(default_factory=list)
    calls: list[_ModelCall] = Field(default_factory=list)
    rewards: dict[str, _Reward | None] = Field(default_factory=dict)
    stop_condition: str | None = None

    @property
    def reward(self) -> float | None:
        """The weighted sum; None where scoring did not run."""
        measured = [reward for reward in self.rewards.values() if reward is not None]
        return sum(reward.score * reward.weight for reward in measured) if measured else None


class _Environment(Raw):
    id: str = ""
    name: str | None = None


class _Policy(Raw):
    start: int
    end: int


class _Work(Raw):
    policy: _Policy | None = None


class _Run(Raw):
    id: str
    work: _Work | None = None


class _TaskInfo(Raw):
    type: str
    key: str | None = None
    hash: str | None = None


class _Row(Raw):
    task: _TaskInfo
    env: _Environment = _Environment()
    run: _Run | None = None
    traces: list[_Trace]


class PrimeRlImporter:
    """One row is one episode: an attempt per trained agent, `#<n>` in its place where there are several."""

    name = "prime_rl"

    def __init__(self, recipe: RecordedRecipe) -> None:
        """The recipe gives licence, label and, where a trace names none, the model."""
        self._recipe = recipe
        self.licence = recipe.licence or ""

    def recognises(self, row: dict[str, Any]) -> bool:
        """By its traces and task."""
        return {"traces", "task"} <= row.keys()

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one episode. Raises ValueError for one without an attempt."""
        raw = _Row.model_validate(row)
        trained = [n for n, trace in enumerate(raw.traces) if trace.agent.trainable]
        if not trained:
            raise ValueError("the episode has no trace of a trained agent: it failed before one began")
        return [
            self._recording(raw, raw.traces[n], row["traces"][n], place, str(n) if len(trained) > 1 else "")
            for n in trained
        ]

    def _recording(self, raw: _Row, trace: _Trace, values: dict[str, Any], place: Place, part: str) -> Recording:
        line = _last_line(trace.nodes)
        transcript = _transcript(line)
        label = self._label(trace, values, transcript)
        return Recording(
            task=_task(raw, trace, line, place, self.licence),
            policy=recorded_policy(self._model(raw, trace)),
            run=raw.run.id if raw.run else place.file,
            transcript=transcript,
            stop=_stop(trace, transcript),
            outcome=label.outcome,
            rewards=(*label.rewards, *_parts(trace)),
            flags=label.flags | ({Flag.BRANCHED} if len(line) < len(trace.nodes) else set()),
            fingerprint=fingerprint_of([said.model_dump() for said in line]),
            further=RepeatKind.INDEPENDENT,
            part=part,
        )

    def _model(self, raw: _Row, trace: _Trace) -> str:
        """The model, and the step of training whose weights it had where the run says so."""
        called = next((call.model for call in reversed(trace.calls) if call.model), None)
        model = called or trace.agent.config.model or self._recipe.model
        if not model:
            raise ValueError("the trace names no model: set [recorded] model")
        policy = raw.run.work.policy if raw.run and raw.run.work else None
        return f"{model}/v{policy.start}" if policy else model

    def _label(self, trace: _Trace, values: dict[str, Any], transcript: Transcript) -> Label:
        if trace.stop_condition == FAILED:
            return Label(Outcome.VOID, frozenset({Flag.CRASHED_RUN}), ())
        if self._recipe.labels is not None:
            return label_at(values, self._recipe.labels, transcript, VERSION)
        return label_of(trace.reward, 1.0, "", transcript, VERSION)


def _parts(trace: _Trace) -> Iterator[RewardPart]:
    if len(trace.rewards) > 1:
        for name, reward in sorted(trace.rewards.items()):
            yield RewardPart(name=name, value=None if reward is None else reward.score, version=VERSION)


def _last_line(nodes: list[_Node]) -> list[_Said]:
    """The messages that lead to the last one. Raises ValueError for parents that lead nowhere."""
    line: list[_Said] = []
    position = len(nodes) - 1 if nodes else None
    while position is not None:
        parent = nodes[position].parent
        if parent is not None and not 0 <= parent < position:
            raise ValueError(f"node {position} has the parent {parent}: expected an earlier node")
        line.append(nodes[position].message)
        position = parent
    return line[::-1]


def _transcript(line: Iterable[_Said]) -> Transcript:
    builder = TranscriptBuilder(error_if(begins_with_error))
    for said in line:
        if said.role == "assistant":
            calls = [AskedCall(call.name, call.arguments, call.id) for call in said.tool_calls or ()]
            builder.turn(said.content, calls, said.reasoning_content)
        elif said.role == "tool":
            builder.result(said.content, said.tool_call_id)
        else:
            builder.say(Role(said.role), said.content)
    return builder.build()


def _stop(trace: _Trace, transcript: Transcript) -> StopReason:
    if trace.stop_condition == FAILED:
        return StopReason.ENVIRONMENT_ERROR
    ended = StopReason.END if transcript.ends_with_answer else StopReason.UNKNOWN
    return STOPS.get(trace.stop_condition or "", ended)


def _task(raw: _Row, trace: _Trace, line: list[_Said], place: Place, licence: str) -> Task:
    first_turn = next((n for n, said in enumerate(line) if said.role == "assistant"), len(line))
    environment = raw.env.name or raw.env.id or place.stem
    name = raw.task.key or raw.task.hash or content_hash([said.model_dump() for said in line[:first_turn]])[:12]
    return Task.create(
        messages=tuple(Message(role=Role(said.role), content=said.content) for said in line[:first_turn]),
        tools=trace.tools,
        source=PrimeRlImporter.name,
        source_id=f"{environment}/{name}",
        domain=environment,
        licence=licence,
        split=Split.TRAIN,
    )
