"""The chat format as text: which pieces a conversation is made of, and what each piece is.

Template pieces hold markers that become control tokens; message pieces never do (law 2).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from data_contracts.messages import Message, Role, ToolCall
from data_contracts.token_rows import SegmentKind
from data_contracts.tools import ToolSpec

IM_START, IM_END, END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
THINK, THINK_END = "<think>", "</think>"
CALL, CALL_END = "<tool_call>", "</tool_call>"
RESPONSE, RESPONSE_END = "<tool_response>", "</tool_response>"
MARKERS = (IM_START, IM_END, END_OF_TEXT, THINK, THINK_END, CALL, CALL_END, RESPONSE, RESPONSE_END)

_TOOLS_HEAD = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
_TOOLS_TAIL = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)
_QWEN2_5_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."


class Family(StrEnum):
    """Which chat template is followed."""

    QWEN3 = "qwen3"
    """Hybrid thinking: thoughts of turns before the last user message are left out."""
    QWEN3_INSTRUCT = "qwen3_instruct"
    """No thinking (the 2507 instruct models; also the embedded student)."""
    QWEN2_5 = "qwen2_5"
    """As QWEN3_INSTRUCT, with a default system message."""


@dataclass(frozen=True)
class Piece:
    """A run of text of one kind."""

    text: str
    kind: SegmentKind
    template: bool = False
    """True: the template wrote it, so markers inside are control tokens."""
    turn: int = 0
    trained: bool = False


def visible(messages: Sequence[Message]) -> list[Message]:
    """What the agent may see: without the calls of a simulated user and their results."""
    return [
        m
        for m in messages
        if not (m.role is Role.TOOL and m.requestor is Role.USER) and not (m.role is Role.USER and m.tool_calls)
    ]


def prompt_pieces(family: Family, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[Piece]:
    """The whole conversation, without a generation prompt. Assistant text is marked as trained.

    Source: the chat templates published with the Qwen3, Qwen3-2507 and Qwen2.5 models.
    """
    pieces = list(_system(family, messages, tools))
    last_query = max((i for i, m in enumerate(messages) if m.role is Role.USER), default=len(messages) - 1)
    turn = 0
    for i, message in enumerate(messages):
        if message.role is Role.SYSTEM and i == 0:
            continue
        if message.role is Role.ASSISTANT:
            thoughts = _thoughts(family, message, after_query=i > last_query, last=i == len(messages) - 1)
            pieces += _assistant(message, thoughts, turn)
            turn += 1
        elif message.role is Role.TOOL:
            first = i == 0 or messages[i - 1].role is not Role.TOOL
            last = i == len(messages) - 1 or messages[i + 1].role is not Role.TOOL
            pieces += _result(message.content, first, last, turn)
        else:
            pieces += _spoken(message, turn)
    return pieces


def generation_prompt(family: Family, turn: int, thinking: bool = True) -> list[Piece]:
    """The header after which the model writes. `thinking=False` closes the thoughts of a QWEN3 model at once."""
    text = f"{IM_START}assistant\n"
    if family is Family.QWEN3 and not thinking:
        text += f"{THINK}\n\n{THINK_END}\n\n"
    return [Piece(text, SegmentKind.CONTEXT, template=True, turn=turn)]


def result_pieces(results: Sequence[str], turn: int, turn_closed: bool) -> list[Piece]:
    """What stands between an assistant turn and the next header: its end, and the tool results.

    `turn_closed`: the model wrote its end-of-turn token itself.
    """
    pieces = [Piece("\n" if turn_closed else f"{IM_END}\n", SegmentKind.CONTEXT, template=True, turn=turn)]
    for i, result in enumerate(results):
        pieces += _result(result, i == 0, i == len(results) - 1, turn)
    return pieces


def _context(text: str, turn: int) -> Piece:
    return Piece(text, SegmentKind.CONTEXT, template=True, turn=turn)


def _system(family: Family, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Iterator[Piece]:
    own = messages[0].content if messages and messages[0].role is Role.SYSTEM else None
    if own is None and family is Family.QWEN2_5:
        own = _QWEN2_5_SYSTEM
    if own is None and not tools:
        return
    yield _context(f"{IM_START}system\n", 0)
    if own is not None:
        yield Piece(own, SegmentKind.PROMPT)
    if tools:
        yield _context(("" if own is None else "\n\n") + _TOOLS_HEAD, 0)
        for tool in tools:
            yield _context("\n", 0)
            yield Piece(json.dumps(tool.to_openai(), ensure_ascii=False), SegmentKind.PROMPT)
        yield _context(_TOOLS_TAIL, 0)
    yield _context(f"{IM_END}\n", 0)


def _spoken(message: Message, turn: int) -> Iterator[Piece]:
    yield _context(f"{IM_START}{message.role.value}\n", turn)
    yield Piece(message.content, SegmentKind.PROMPT, turn=turn)
    yield _context(f"{IM_END}\n", turn)


def _result(content: str, first: bool, last: bool, turn: int) -> Iterator[Piece]:
    yield _context((f"{IM_START}user" if first else "") + f"\n{RESPONSE}\n", turn)
    yield Piece(content, SegmentKind.RESULT, turn=turn)
    yield _context(f"\n{RESPONSE_END}" + (f"{IM_END}\n" if last else ""), turn)


def _thoughts(family: Family, message: Message, after_query: bool, last: bool) -> str | None:
    """The thoughts to write, '' for an empty block, None for no block."""
    if family is not Family.QWEN3 or not after_query:
        return None
    thoughts = (message.reasoning or "").strip("\n")
    return thoughts if thoughts or last else None


def _assistant(message: Message, thoughts: str | None, turn: int) -> Iterator[Piece]:
    def written(text: str, kind: SegmentKind, template: bool = False) -> Piece:
        return Piece(text, kind, template=template, turn=turn, trained=True)

    yield _context(f"{IM_START}assistant\n", turn)
    content = message.content
    if thoughts is not None:
        content = content.lstrip("\n")
        if thoughts:
            yield written(f"{THINK}\n", SegmentKind.REASONING, template=True)
            yield written(thoughts, SegmentKind.REASONING)
            yield written(f"\n{THINK_END}\n\n", SegmentKind.REASONING, template=True)
        else:
            yield _context(f"{THINK}\n\n{THINK_END}\n\n", turn)
    yield written(content, SegmentKind.ANSWER)
    for i, call in enumerate(message.tool_calls):
        if i or content:
            yield written("\n", SegmentKind.ANSWER)
        yield written(f"{CALL}\n", SegmentKind.CALL, template=True)
        yield written(call_text(call), SegmentKind.CALL)
        yield written(f"\n{CALL_END}", SegmentKind.CALL, template=True)
    yield written(IM_END, SegmentKind.ANSWER, template=True)
    yield _context("\n", turn)


def call_text(call: ToolCall) -> str:
    """What stands between the markers of a call; the raw text for a malformed one (no name)."""
    if not call.name:
        return call.arguments
    try:
        arguments = json.dumps(json.loads(call.arguments), ensure_ascii=False)
    except ValueError:
        arguments = call.arguments
    return f'{{"name": "{call.name}", "arguments": {arguments}}}'
