"""Where the reference figures count otherwise than the importers do, and why.

Everything else is compared as it is. The reference's rules are heuristics: a share of its errors are none, and some
errors escape it. Where a rule of its would make a record say what the log does not, the record keeps to the log and the
difference is computed here.
"""

import re

from data_contracts.attempts import MODEL_FAILURES, TOOL_FAILURES, Attempt, Flag
from data_contracts.messages import Role
from pipelines.curation.figures import success_of
from rollout.verdicts import LABELLED

MINT_ERROR = re.compile(r"Traceback|\wError|^Error", re.MULTILINE)
FAILED_RUNS = ("mint", "agentdojo", "intercode")


def success(attempt: Attempt) -> bool | None:
    """The reference takes a broken grader and a model's own claim at their word, and counts crashed runs of MINT, AgentDojo
    and InterCode as failures (those of verifiers it leaves out, as we do)."""
    if Flag.BROKEN_GRADER in attempt.flags:
        return attempt.reward("recorded") == 1.0
    if Flag.UNVERIFIED in attempt.flags:
        return True
    if Flag.CRASHED_RUN in attempt.flags and attempt.source in FAILED_RUNS:
        return False
    return success_of(attempt) if attempt.outcome in LABELLED else None


def task(attempt: Attempt, source_id: str) -> str:
    """The reference takes the five rollouts of anyswe_agent for five tasks: they are at one instance of SWE-bench."""
    return attempt.key if attempt.domain == "anyswe_agent" else source_id


def num_calls(attempt: Attempt) -> int:
    """The reference counts the root of ToolBench's tree as a call."""
    return len(attempt.calls()) + (attempt.source == "toolbench")


def num_failed(attempt: Attempt) -> int:
    """Calls that failed, by the reference's rule where it is another than ours."""
    if attempt.source == "mint":
        return _mint_failed(attempt)
    failed = sum(call.status in MODEL_FAILURES | TOOL_FAILURES for call in attempt.calls())
    return failed + (_unparsed(attempt) if attempt.source == "smolagents" else 0)


def _mint_failed(attempt: Attempt) -> int:
    """The reference looks at what follows a message with `<execute>`, so that fenced code, which the harness executes
    too, never fails; after a last message it takes the observation before it a second time; it stops at the number of
    calls."""
    texts = [message.content for message in attempt.messages]
    failed = 0
    for n, message in enumerate(attempt.messages):
        if message.role is Role.ASSISTANT and "<execute>" in message.content:
            answer = texts[n + 1] if n + 1 < len(texts) else texts[n - 1] if n > 1 else ""
            failed += MINT_ERROR.search(answer) is not None
    return min(failed, len(attempt.calls()))


def _unparsed(attempt: Attempt) -> int:
    """smolagents: an action that could not be parsed is an error to the reference, but no call."""
    answers = [message.content for message in attempt.messages[2:] if message.role is Role.USER]
    return sum("Error" in text for text in answers)
