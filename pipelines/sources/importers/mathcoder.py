"""MathCoder: text, code and execution in turns (github.com/mathllm/MathCoder, Apache-2.0).

Decoding was greedy: a further run is a copy where it is byte-identical, else a repeat of unproven independence (SEED).
The harness appends the answer that it extracted as one more text block: nobody wrote it, it is left out.
"""

import re
from functools import lru_cache
from typing import Any, Literal

from data_contracts.attempts import CallStatus, Outcome, RepeatKind, StopReason
from data_contracts.ids import canonical_json, content_hash
from data_contracts.messages import Message, Role
from data_contracts.tasks import Split, Task, VerifierRef
from data_contracts.tools import ToolSpec
from pipelines.sources.importers.chat import Raw
from pipelines.sources.importers.fast_json import fingerprint_of
from pipelines.sources.importers.recording import TASKS_KEPT, Place, Recording, recorded_policy
from pipelines.sources.importers.transcript import AskedCall, Transcript, TranscriptBuilder

PYTHON = ToolSpec(
    name="python",
    description="Run Python code in a notebook that keeps its state, and return what it prints.",
    parameters=canonical_json({"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}),
)

_ERROR = re.compile(r"Traceback|\wError")
_PATH = re.compile(
    r"(?P<model>[^/]+)/(?P<part>[^/]+)/[^/]*?-(?P<run>\d{8}-\d{4})-(?P<label>correct|wrong)\.jsonl(?:\.gz)?$"
)


class _Block(Raw):
    role: Literal["system", "user", "text", "code", "execution"]
    content: str


class _Truth(Raw):
    answer: str | float


class _Helper(Raw):
    path: str | None = None
    label: Literal["correct", "wrong"] | None = None


class _Row(Raw):
    debug_result: list[_Block]
    ground_truth: _Truth
    completion: str
    helper: _Helper


class MathCoderImporter:
    """One row is one greedy run at one problem."""

    name = "mathcoder"
    licence = "Apache-2.0"

    def recognises(self, row: dict[str, Any]) -> bool:
        """By its own block list."""
        return {"debug_result", "ground_truth"} <= row.keys()

    def read(self, row: dict[str, Any], place: Place) -> list[Recording]:
        """Read one row. Model, part, run and verdict come from the path `<model>/<part>/...-<run>-<verdict>.jsonl`."""
        raw = _Row.model_validate({**row, "helper": row.get("_src", {})})
        path = raw.helper.path or place.file
        found = _run_of(path)
        label = raw.helper.label if "_src" in row else found["label"]
        transcript = _transcript(_written(raw))
        recording = Recording(
            task=_task(_prompt(raw), _plain_number(raw.ground_truth.answer), found["part"]),
            policy=recorded_policy(found["model"]),
            run=found["run"],
            transcript=transcript,
            stop=StopReason.END if transcript.ends_with_answer else StopReason.UNKNOWN,
            outcome=_OUTCOMES[label],
            rewards=(),
            flags=(),
            fingerprint=fingerprint_of(row["debug_result"]),
            further=RepeatKind.SEED,
        )
        return [recording]


@lru_cache(maxsize=TASKS_KEPT)
def _run_of(path: str) -> re.Match[str]:
    found = _PATH.search(path)
    if found is None:
        raise ValueError(f"{path} names no run: expected <model>/<part>/...-<date>-<time>-<correct or wrong>.jsonl")
    return found


_OUTCOMES = {"correct": Outcome.CORRECT, "wrong": Outcome.WRONG, None: Outcome.UNLABELLED}


def _written(raw: _Row) -> list[_Block]:
    """The blocks without the appended answer."""
    blocks = raw.debug_result
    appended = (
        len(blocks) >= 2 and blocks[-2].role == blocks[-1].role == "text" and blocks[-1].content == raw.completion
    )
    return blocks[:-1] if appended else blocks


def _status(text: str) -> CallStatus:
    if "Timeout waiting for reply" in text:
        return CallStatus.TIMEOUT
    suspicious = "Error" in text or "Traceback" in text
    return CallStatus.ERROR if suspicious and _ERROR.search(text) else CallStatus.OK


def _transcript(blocks: list[_Block]) -> Transcript:
    """A turn is the text before a code block, and the code; text that follows text belongs to one turn."""
    builder, texts = TranscriptBuilder(_status), list[str]()
    for block in blocks:
        if block.role in ("system", "user"):
            builder.say(Role(block.role), block.content)
        elif block.role == "text":
            texts.append(block.content)
        elif block.role == "code":
            builder.turn("\n".join(texts), [AskedCall.of(PYTHON.name, {"code": block.content})])
            texts = []
        else:
            builder.result(block.content)
    if texts:
        builder.turn("\n".join(texts))
    return builder.build()


def _prompt(raw: _Row) -> tuple[tuple[str, str], ...]:
    """Role and text of each message."""
    return tuple((block.role, block.content) for block in raw.debug_result if block.role in ("system", "user"))


@lru_cache(maxsize=TASKS_KEPT)
def _task(prompt: tuple[tuple[str, str], ...], answer: str, part: str) -> Task:
    question = prompt[-1][1] if prompt else ""
    return Task.create(
        messages=tuple(Message(role=Role(role), content=text) for role, text in prompt),
        tools=(PYTHON,),
        verifier=VerifierRef(name="math", reference=answer) if answer.strip() else None,
        source=MathCoderImporter.name,
        source_id=f"{part}/{content_hash([question, answer])[:12]}",
        domain=part,
        licence=MathCoderImporter.licence,
        split=Split.TEST,
    )


def _plain_number(answer: str | float) -> str:
    """13.0 -> "13"; text stays as it is."""
    if isinstance(answer, float) and answer.is_integer():
        return str(int(answer))
    return str(answer)
