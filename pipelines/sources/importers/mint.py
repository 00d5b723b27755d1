"""MINT: Python and proposed solutions, marked in the text (github.com/xingyaoww/mint-bench, Apache-2.0).

One task is run under several budgets of turns. What the harness took for a call decides, not what looks like one: with a
`<solution>` it executes nothing; where `<execute>` is missing it takes fenced code from some models; what it does not
understand it answers so. The last message's execution is not in the log: its status is UNKNOWN.

A run whose last message proposes a solution has ended, also where that was its last step.

Prompt and observations tell the budget that is left: a copy is a run whose messages of the model are the same.

The history leaves out messages of the model that are empty. They are turns all the same: the harness counted each as an
action, and answered that it did not understand it.

Where the grader let a wrong answer pass the run is wrong, and where it refused a right one unlabelled (mint_grader).

A run without any turn of the model, and one that the model's server refused for another reason than the length of the
context, is a crashed run.
"""

import re
from functools import lru_cache
from typing import Any, Literal

from data_contracts.attempts import Flag, Outcome, RepeatKind, RewardPart, StopReason
from data_contracts.ids import canonical_json
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task, VerifierRef
from data_contracts.tools import ToolSpec
from pipelines.sources.importers.chat import Raw, error_if
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.mint_grader import passed_wrongly, refused_wrongly
from pipelines.sources.importers.recording import TASKS_KEPT, Place, Recording, origin, recorded_policy
from pipelines.sources.importers.transcript import AskedCall, Transcript, TranscriptBuilder

PYTHON = "python"
CODE = canonical_json({"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]})
VERIFIERS = {"gsm8k": "math", "math": "math", "theoremqa": "math", "hotpotqa": "exact", "mmlu": "exact"}
"""Verifiers by part; the others are judged by running something."""
NOT_UNDERSTOOD = "I don't understand your input"
WRONG = "Your answer is wrong"
TOO_LONG = "reduce the length"
PROPOSAL, PROPOSED = "<solution>", "</solution>"

_EXECUTE = re.compile(r"<execute>([^<]*(?:<(?!/execute>)[^<]*)*)</execute>")
_FENCED = re.compile(r"```(?:python)?\s([^`]*(?:`(?!``)[^`]*)*)```")
_ERROR = re.compile(r"Traceback|\wError|^Error", re.MULTILINE)
_PATH = re.compile(r"(?P<model>[^/]+)/(?:F=[^/]+/)?(?P<budget>max\d+)[^/]*/(?:.*/)?(?P<part>[^/]+)/[^/]+$")


class _Message(Raw):
    role: Literal["user", "assistant"]
    content: str


class _Counts(Raw):
    use_tool: int
    propose_solution: int = 0
    invalid_action: int = 0

    @property
    def turns(self) -> int:
        """Turns of the model that the harness counted."""
        return self.use_tool + self.propose_solution + self.invalid_action


class _State(Raw):
    history: list[_Message]
    success: bool
    terminate_reason: str | None = None
    error: str | None = None
    agent_action_count: _Counts


class _Question(Raw):
    task_id: str | int
    prompt: str
    reference: str | bool | int | float | list[Any] | None = None

    @property
    def answer(self) -> str:
        return "" if self.reference is None else str(self.reference)


class _Row(Raw):
    state: _State
    task: _Question


class MintImporter:
    """One row is one run under one budget."""

    name = "mint"
    licence = "Apache-2.0"

    def recognises(self, row: dict[str, Any]) -> bool:
        """By its state and task."""
        state = row.get("state")
        return isinstance(state, dict) and "agent_action_count" in state and "task" in row

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one row. Model, budget and part come from the path `<model>/<..>/max<k>_<..>/<..>/<part>/results.jsonl`."""
        raw = _Row.model_validate(row)
        path = origin(row, place)
        model, part = _model_and_part(path)
        transcript = _transcript(raw.state)
        outcome = _outcome(raw.state, raw.task.answer, part, transcript)
        recording = Recording(
            task=_task(raw.task.prompt, str(raw.task.task_id), raw.task.answer, part),
            policy=recorded_policy(model),
            run=path,
            transcript=transcript,
            stop=_stop(raw.state),
            outcome=outcome,
            rewards=(RewardPart(name="recorded", value=float(raw.state.success), version="mint-log"),),
            flags=_flags(raw.state, transcript, outcome),
            fingerprint=fingerprint_of([turn.text for turn in transcript.turns]),
            further=RepeatKind.BUDGET,
        )
        return [recording]


@lru_cache(maxsize=TASKS_KEPT)
def _model_and_part(path: str) -> tuple[str, str]:
    found = _PATH.search(path)
    if found is None:
        raise ValueError(f"{path} names no run: expected <model>/F=<..>/max<k>_<..>/<..>/<part>/results.jsonl")
    return found["model"], found["part"]


_SILENCE = _Message(role="assistant", content="")


def _whole_history(state: _State) -> list[_Message]:
    """The history with the model's empty messages: between two of the user's, and at the end where one more was counted."""
    whole: list[_Message] = []
    for message in state.history:
        if whole and message.role == whole[-1].role == "user":
            whole.append(_SILENCE)
        whole.append(message)
    num_turns = sum(message.role == "assistant" for message in whole)
    was_asked = state.error is None and bool(whole) and whole[-1].role == "user"
    return [*whole, _SILENCE] if was_asked and num_turns < state.agent_action_count.turns else whole


def _transcript(state: _State) -> Transcript:
    """The first user message is the prompt, with a worked example in it."""
    builder, calling, num_calls = TranscriptBuilder(error_if(_failed)), False, 0
    history = _whole_history(state)
    for message, answer in zip(history, [*history[1:], None], strict=True):
        if message.role == "assistant":
            calling = _is_call(message.content, answer, num_calls < state.agent_action_count.use_tool)
            num_calls += calling
            builder.turn(message.content, [_asked(message.content)] if calling else [])
        elif calling:
            builder.result(message.content)
            calling = False
        else:
            builder.say(Role.USER, message.content)
    return builder.build()


def _failed(text: str) -> bool:
    """The words first: few results hold one, and the pattern looks at every letter."""
    return ("Error" in text or "Traceback" in text) and _ERROR.search(text) is not None


def _is_call(text: str, answer: _Message | None, calls_left: bool) -> bool:
    """Whether the harness executed it: the answer tells, and for the last message the number of executions."""
    if not text or PROPOSAL in text:
        return False
    return calls_left if answer is None else NOT_UNDERSTOOD not in answer.content


def _asked(text: str) -> AskedCall:
    """All blocks of a message, one after the other: so the harness ran them, and its observation holds what each printed."""
    blocks = [block.strip("\n") for block in _EXECUTE.findall(text) if block.strip()]
    blocks = blocks or [block.strip("\n") for block in _FENCED.findall(text) if block.strip()]
    return AskedCall.of(PYTHON, {"code": "\n".join(blocks) or text.strip("\n")})


def _crashed(state: _State, transcript: Transcript) -> bool:
    return not transcript.turns or (state.error is not None and TOO_LONG not in state.error)


def _outcome(state: _State, reference: str, part: str, transcript: Transcript) -> Outcome:
    if _crashed(state, transcript):
        return Outcome.VOID
    said = [message.content for message in state.history[1:] if message.role == "assistant"]
    if state.success:
        return Outcome.WRONG if passed_wrongly(part, reference, "".join(said[-1:])) else Outcome.CORRECT
    return Outcome.UNLABELLED if refused_wrongly(reference, said) else Outcome.WRONG


def _stop(state: _State) -> StopReason:
    if state.error is not None:
        return StopReason.TOOL_OVERFLOW if TOO_LONG in state.error else StopReason.ENVIRONMENT_ERROR
    return {
        "task_success": StopReason.END,
        "max_propose_steps": StopReason.END,
        "max_steps": StopReason.END if _ends_with_proposal(state) else StopReason.MAX_TURNS,
    }.get(state.terminate_reason or "", StopReason.UNKNOWN)


def _ends_with_proposal(state: _State) -> bool:
    """A solution that nothing closes was cut off itself."""
    last = state.history[-1]
    _, opened, proposed = last.content.rpartition(PROPOSAL)
    return last.role == "assistant" and bool(opened) and PROPOSED in proposed


def _flags(state: _State, transcript: Transcript, outcome: Outcome) -> set[Flag]:
    broken = outcome is Outcome.UNLABELLED or (state.success and outcome is Outcome.WRONG)
    found = {Flag.CRASHED_RUN: outcome is Outcome.VOID, Flag.BROKEN_GRADER: broken}
    flags = {flag for flag, holds in found.items() if holds}
    if any(turn.calls for turn in transcript.turns):
        flags.add(Flag.CALLS_IN_TEXT)
    for message in state.history[1:]:
        if message.role == "user" and WRONG in message.content:
            flags.add(Flag.ORACLE_HINT)
        elif message.role == "assistant" and "Observation:" in message.content:
            flags.add(Flag.INVENTED_OBSERVATION)
    return flags


def _python(task_id: str, part: str) -> ToolSpec:
    """Its functions act on a world of the task's own, which no text describes: alfworld's prompts repeat."""
    world = f" of the world {task_id}" if part == "alfworld" else ""
    description = f"Run Python code in a session that keeps its state and holds the functions{world}."
    return ToolSpec(name=PYTHON, description=description, parameters=CODE)


@lru_cache(maxsize=TASKS_KEPT)
def _task(prompt: str, task_id: str, reference: str, part: str) -> Task:
    verifier = VERIFIERS.get(part) if reference.strip() else None
    return Task.create(
        messages=(Message(role=Role.USER, content=prompt),),
        tools=(_python(task_id, part),),
        verifier=VerifierRef(name=verifier, reference=reference) if verifier else None,
        source=MintImporter.name,
        source_id=f"{part}/{task_id}",
        domain=part,
        licence=MintImporter.licence,
        split=Split.TEST,
    )
