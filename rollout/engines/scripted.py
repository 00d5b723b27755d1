"""The scripted teacher: an engine that plans, calls the tool, errs now and then, reads what came back and answers.

It sees the rendered conversation and nothing else: never a task, a reference or a verifier. Its first call of an attempt
errs at `error_rate`; on the next turn it compares its call with the question, reads the real output, and calls again.
"""

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from random import Random

from data_contracts.messages import Message, Role, ToolCall
from rollout.engines import Completion, Request
from rollout.engines.scripted_reading import Plan, read

MAX_CALLS = 3
"""Calls after which it gives up."""
OTHER_NAMES = ("calculator", "run", "py")
ANSWERS = ("The answer is {box}.", "The result is {box}.", "So it is {box}.")
LEADS = ("I {words}.", "Plan: {words}.", "Let me {words}.")
REMEDIES = (
    (r"unknown tool", "The tool is {tool}."),
    (r"malformed", "I mend the JSON."),
    (r"SyntaxError", "I close the bracket."),
    (r"Error", "That failed. I read again."),
)
"""Words in an error message and what it says to them. The first that fits counts."""
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class Slip(StrEnum):
    """The ways in which its first call can go wrong."""

    WRONG_NAME = "wrong_name"
    SYNTAX_ERROR = "syntax_error"
    BAD_PLAN = "bad_plan"
    BAD_JSON = "bad_json"


class ScriptedEngine:
    """A teacher made of rules. A text engine: its completions carry no ids.

    Example:
        ScriptedEngine(error_rate=0.2, oversight_rate=0.1)
    """

    def __init__(self, error_rate: float, oversight_rate: float) -> None:
        """`error_rate`: share of attempts whose first call errs. `oversight_rate`: share of its bad plans that it does
        not notice, and answers from. Raises ValueError for a rate outside 0..1."""
        for name, rate in (("error_rate", error_rate), ("oversight_rate", oversight_rate)):
            if not 0 <= rate <= 1:
                raise ValueError(f"{name}={rate} is no rate: give a number from 0 to 1")
        self.error_rate, self.oversight_rate = error_rate, oversight_rate

    def sample(self, requests: Sequence[Request]) -> list[Completion]:
        """One message per request, decided by the request alone."""
        return [Completion(text=self._act(request)) for request in requests]

    def _act(self, request: Request) -> str:
        rng = Random(request.seed)
        plan = read(_question(request.messages))
        if plan is None or not request.tools:
            return "I do not know how to solve this."
        tool = request.tools[0].name
        spoken = [message for message in request.messages if message.role is Role.ASSISTANT]
        if not spoken:
            return self._begin(plan, tool, rng)
        return self._go_on(plan, tool, spoken, request.messages[-1].content, rng)

    def _begin(self, plan: Plan, tool: str, rng: Random) -> str:
        slip = rng.choice(list(Slip)) if rng.random() < self.error_rate else None
        if slip is Slip.BAD_PLAN:
            plan = plan.confused()
        lead = rng.choice(LEADS).format(words=plan.words())
        return f"{lead}\n{_call(tool, rng.choice(plan.codes()), slip, rng)}"

    def _go_on(self, plan: Plan, tool: str, spoken: list[Message], observed: str, rng: Random) -> str:
        """Answer from the tool's output, or find the fault and call again."""
        value = NUMBER.fullmatch(observed.strip())
        asked = _code(spoken[-1].tool_calls, tool)
        overlooks = asked not in plan.codes() and rng.random() < self.oversight_rate
        if value and (asked in plan.codes() or overlooks):
            return rng.choice(ANSWERS).format(box=f"\\boxed{{{value[0]}}}")
        if len(spoken) >= MAX_CALLS:
            return "I could not compute it."
        return f"{_regret(plan, tool, observed)}\n{_call(tool, rng.choice(plan.codes()), None, rng)}"


def _question(messages: Sequence[Message]) -> str:
    """The last thing that a user said."""
    return next((message.content for message in reversed(messages) if message.role is Role.USER), "")


def _code(calls: Sequence[ToolCall], tool: str) -> str | None:
    """The code of the last call, as the conversation shows it; None where there is no readable call of the tool."""
    if not calls or calls[-1].name != tool:
        return None
    try:
        arguments = json.loads(calls[-1].arguments)
    except json.JSONDecodeError:
        return None
    return arguments.get("code") if isinstance(arguments, dict) else None


def _regret(plan: Plan, tool: str, observed: str) -> str:
    """What it says after a fault: the remedy for an error message, otherwise the plan that it finds on reading again."""
    remedy = next((words for pattern, words in REMEDIES if re.search(pattern, observed)), "No, I {words}.")
    return remedy.format(tool=tool, words=plan.words())


def _call(tool: str, code: str, slip: Slip | None, rng: Random) -> str:
    """The call in Hermes form, with the slip in it."""
    name = rng.choice(OTHER_NAMES) if slip is Slip.WRONG_NAME else tool
    written = code.removesuffix(")") if slip is Slip.SYNTAX_ERROR else code
    body = json.dumps({"name": name, "arguments": {"code": written}})
    return f"<tool_call>\n{body.removesuffix('}') if slip is Slip.BAD_JSON else body}\n</tool_call>"
