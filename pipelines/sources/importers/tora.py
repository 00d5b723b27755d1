"""ToRA: reasoning with code blocks and their output in one text (github.com/microsoft/ToRA, MIT).

The log holds the extracted answer but no verdict: it is compared with the reference as a number.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from data_contracts.attempts import Flag, Outcome, RepeatKind, StopReason
from data_contracts.ids import canonical_json, content_hash
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task, VerifierRef
from data_contracts.tools import ToolSpec
from pipelines.sources.importers.chat import Raw, error_if
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.recording import Place, Recording, origin, recorded_policy
from pipelines.sources.importers.transcript import AskedCall, Transcript, TranscriptBuilder

PYTHON = ToolSpec(
    name="python",
    description="Run Python code and return what it prints.",
    parameters=canonical_json({"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}),
)

_BLOCK = re.compile(r"```(python|output)\n(.*?)```\n?", re.DOTALL)
_ERROR = re.compile(r"Traceback|\wError")


class _Row(Raw):
    question: str
    gt: str
    code: list[str]
    pred: list[str]


class ToraImporter:
    """One row holds the samples at one problem: one of greedy decoding."""

    name = "tora"
    licence = "MIT"

    def recognises(self, row: dict[str, Any]) -> bool:
        """By its reference and samples."""
        return {"gt", "code", "pred", "question"} <= row.keys()

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one row. Model and part come from the file's name `<model>.<part>.jsonl`."""
        raw = _Row.model_validate(row)
        model, _, part = place.stem.rpartition(".")
        if not model:
            raise ValueError(f"{place.file} names no model: call the file <model>.<part>.jsonl")
        if not len(raw.code) == len(raw.pred) > 0:
            raise ValueError(f"{len(raw.code)} samples and {len(raw.pred)} answers: expected one answer a sample")
        task = _task(raw, part.upper(), self.name, self.licence)
        run, several = origin(row, place), len(raw.code) > 1
        return [
            _recording(task, model, run, text, answer, str(n) if several else "")
            for n, (text, answer) in enumerate(zip(raw.code, raw.pred, strict=True))
        ]


def _recording(task: Task, model: str, run: str, text: str, answer: str, part: str) -> Recording:
    transcript = _transcript(task.messages[0].content, text)
    reference = task.verifier.reference if task.verifier else ""
    used = any(turn.calls for turn in transcript.turns)
    return Recording(
        task=task,
        policy=recorded_policy(model),
        run=run,
        transcript=transcript,
        stop=StopReason.END if transcript.ends_with_answer else StopReason.UNKNOWN,
        outcome=_outcome(answer, reference),
        rewards=(),
        flags={Flag.HEURISTIC_VERDICT} | ({Flag.CALLS_IN_TEXT} if used else set()),
        fingerprint=fingerprint_of(text),
        further=RepeatKind.SEED,
        part=part,
    )


def _transcript(question: str, text: str) -> Transcript:
    builder, start, pending = TranscriptBuilder(error_if(_ERROR.search)), 0, ""
    builder.say(Role.USER, question)
    for block in _BLOCK.finditer(text):
        pending += text[start : block.start()]
        start = block.end()
        if block[1] == "python":
            builder.turn(pending, [AskedCall.of(PYTHON.name, {"code": block[2].rstrip("\n")})])
            pending = ""
        else:
            builder.result(block[2].rstrip("\n"))
    pending += text[start:]
    if pending.strip():
        builder.turn(pending)
    return builder.build()


def _outcome(answer: str, reference: str) -> Outcome:
    expected, found = _number(reference), _number(answer)
    if expected is None:
        return Outcome.UNLABELLED
    return Outcome.CORRECT if found == expected else Outcome.WRONG


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text.replace(",", "").strip())
    except InvalidOperation:
        return None


def _task(raw: _Row, part: str, source: str, licence: str) -> Task:
    return Task.create(
        messages=(Message(role=Role.USER, content=raw.question),),
        tools=(PYTHON,),
        verifier=VerifierRef(name="math", reference=raw.gt) if raw.gt.strip() else None,
        source=source,
        source_id=f"{part}/{content_hash(raw.question)[:12]}",
        domain=part,
        licence=licence,
        split=Split.TEST,
    )
