"""OpenAI's sample solutions to GSM8K: four models a row, calculator calls `<<6*7=42>>` in the text
(github.com/openai/grade-school-math, MIT).

The `verification` models give the best of 100 samples by a learned verifier. The calculator overrode what the model
would have written after `=`: it is the result, and what follows `>>` is the next turn.
"""

import re
from typing import Any

from data_contracts.attempts import CallStatus, Flag, Outcome, RepeatKind, StopReason
from data_contracts.ids import canonical_json, content_hash
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task, VerifierRef
from data_contracts.tools import ToolSpec
from pipelines.sources.importers.chat import Raw
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.recording import Place, Recording, origin, recorded_policy
from pipelines.sources.importers.transcript import AskedCall, Transcript, TranscriptBuilder

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
DOMAIN = "GSM8K"
CALCULATOR = ToolSpec(
    name="calculator",
    description="Evaluate an arithmetic expression.",
    parameters=canonical_json(
        {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]}
    ),
)

_CALL = re.compile(r"<<([^<>=]*)=([^<>]*)>>")


class _Solution(Raw):
    solution: str
    is_correct: bool


class _Row(Raw):
    question: str
    ground_truth: str
    solutions: dict[str, _Solution]


class Gsm8kSolutionsImporter:
    """One row is one problem with a solution per model."""

    name = "gsm8k_openai_solutions"
    licence = "MIT"

    def recognises(self, row: dict[str, Any]) -> bool:
        """By its four models."""
        return row.keys() >= set(MODELS)

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one row: an attempt per model, `#<model>` in its place."""
        raw = _Row.model_validate({**row, "solutions": {model: row.get(model) for model in MODELS}})
        task, run = _task(raw, self.name, self.licence), origin(row, place)
        return [_recording(task, run, model, raw.solutions[model]) for model in MODELS]


def _recording(task: Task, run: str, model: str, solution: _Solution) -> Recording:
    transcript = _transcript(task.messages[0].content, solution.solution)
    return Recording(
        task=task,
        policy=recorded_policy(model),
        run=run,
        transcript=transcript,
        stop=StopReason.END if transcript.ends_with_answer else StopReason.UNKNOWN,
        outcome=Outcome.CORRECT if solution.is_correct else Outcome.WRONG,
        rewards=(),
        flags={Flag.CALLS_IN_TEXT} if any(turn.calls for turn in transcript.turns) else (),
        fingerprint=fingerprint_of(solution.solution),
        further=RepeatKind.SEED,
        part=model,
    )


def _transcript(question: str, text: str) -> Transcript:
    builder, start = TranscriptBuilder(lambda result: CallStatus.OK), 0
    builder.say(Role.USER, question)
    for call in _CALL.finditer(text):
        builder.turn(text[start : call.start()], [AskedCall.of(CALCULATOR.name, {"expression": call[1]})])
        builder.result(call[2])
        start = call.end()
    if text[start:].strip():
        builder.turn(text[start:])
    return builder.build()


def _task(raw: _Row, source: str, licence: str) -> Task:
    answer = raw.ground_truth.rpartition("\n")[2].removeprefix("A:").strip()
    return Task.create(
        messages=(Message(role=Role.USER, content=raw.question),),
        tools=(CALCULATOR,),
        verifier=VerifierRef(name="math", reference=answer) if answer else None,
        source=source,
        source_id=f"{DOMAIN}/{content_hash(raw.question)[:12]}",
        domain=DOMAIN,
        licence=licence,
        split=Split.TEST,
    )
