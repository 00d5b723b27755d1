"""Your own tasks: JSON lines with a question and its answer, judged by mathematical equivalence or by equal text."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from data_contracts.ids import content_hash
from data_contracts.messages import Message, Role
from data_contracts.tasks import PromptMode, Split, Task, TaskLimits, VerifierRef
from data_contracts.tools import ToolSpec
from pipelines.sources.importers.lines import read_lines

PYTHON = ToolSpec(
    name="python",
    description="Run Python code and return what it prints.",
    parameters=json.dumps({"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}),
)


class QuestionsRecipe(BaseModel):
    """The recipe table [tasks] with source = "questions".

    Example:
        QuestionsRecipe(path="gsm8k.jsonl.gz", licence="MIT", answer_after="####", test_share=0.1)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    """A *.jsonl or *.jsonl.gz file."""
    licence: str
    """Of the tasks; stands on every row that is made from them."""
    question_key: str = "question"
    answer_key: str = "answer"
    domain_key: str | None = None
    """Key of the subject; None: all tasks are of one domain, named after the file."""
    answer_after: str | None = None
    """The answer is what follows the last occurrence of this text, e.g. `####`."""
    system: str | None = None
    """System message of every task."""
    suffix: str = "\n\nGive the final answer in \\boxed{}."
    verifier: Literal["math", "exact"] = "math"
    test_share: float = Field(gt=0, lt=1)
    """Share of the tasks that only evaluation sees; which ones depends on seed and text alone."""
    mode: PromptMode = PromptMode.DIRECT
    limits: TaskLimits = TaskLimits()


def read_questions(recipe: QuestionsRecipe, seed: int) -> list[Task]:
    """All tasks of the file, equal ones once. Raises ValueError with file and line for a row that is no task."""
    path = Path(recipe.path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"recipe [tasks] path={recipe.path!r} does not exist: name a .jsonl or .jsonl.gz file")
    tasks: dict[str, Task] = {}
    for line in read_lines(path):
        if line.row is None:
            raise ValueError(f"{path}:{line.number}: {line.problem}; correct the line or remove it")
        task = _task(line.row, recipe, seed, path, line.number)
        tasks.setdefault(task.key, task)
    return list(tasks.values())


def _task(row: dict[str, Any], recipe: QuestionsRecipe, seed: int, path: Path, number: int) -> Task:
    place = f"{path}:{number}"
    question, answer = _text(row, recipe.question_key, place), _answer(row, recipe, place)
    system = [Message(role=Role.SYSTEM, content=recipe.system)] if recipe.system else []
    drawn = int(content_hash([seed, question]), 16) / 16 ** len(content_hash(""))
    stem = path.name.partition(".")[0]
    return Task.create(
        messages=(*system, Message(role=Role.USER, content=question + recipe.suffix)),
        tools=(PYTHON,),
        verifier=VerifierRef(name=recipe.verifier, reference=answer),
        limits=recipe.limits,
        mode=recipe.mode,
        source=stem,
        source_id=f"{stem}-{number}",
        domain=_text(row, recipe.domain_key, place) if recipe.domain_key else stem,
        licence=recipe.licence,
        split=Split.TEST if drawn < recipe.test_share else Split.TRAIN,
    )


def _answer(row: dict[str, Any], recipe: QuestionsRecipe, place: str) -> str:
    text = _text(row, recipe.answer_key, place)
    if recipe.answer_after is None:
        return text
    _, found, answer = text.rpartition(recipe.answer_after)
    if not found or not answer.strip():
        raise ValueError(
            f"{place}: no answer after {recipe.answer_after!r} in {text[-60:]!r}: correct it or answer_after"
        )
    return answer.strip()


def _text(row: dict[str, Any], key: str, place: str) -> str:
    value = row.get(key)
    if not isinstance(value, str | int | float) or isinstance(value, bool) or not str(value).strip():
        raise ValueError(f"{place}: {key!r} is {value!r}, where text or a number is needed; keys are {sorted(row)}")
    return str(value).strip()
