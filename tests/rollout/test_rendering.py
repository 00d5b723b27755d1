"""Rendering equals the upstream chat templates token for token, and message text never becomes a control token."""

import json
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.messages import Message, Role, ToolCall
from data_contracts.token_rows import SegmentKind
from rollout.rendering import Family, Renderer
from rollout.rendering.family import MARKERS
from tests.tiny import PYTHON, qwen_tokenizer

TEMPLATES = {Family.QWEN3: "qwen3", Family.QWEN3_INSTRUCT: "qwen3_instruct_2507", Family.QWEN2_5: "qwen2_5"}


def call(code: str, number: int = 1) -> ToolCall:
    return ToolCall(id=f"call_{number}", name="python", arguments=json.dumps({"code": code}))


def said(content: str = "", *calls: ToolCall, reasoning: str | None = None) -> Message:
    return Message(role=Role.ASSISTANT, content=content, tool_calls=calls, reasoning=reasoning)


def asked(content: str) -> Message:
    return Message(role=Role.USER, content=content)


def result(content: str) -> Message:
    return Message(role=Role.TOOL, content=content, tool_call_id="call_1", name="python")


CONVERSATIONS = {
    "plain": [asked("What is 34 plus 57?"), said("The answer is 91.")],
    "system": [Message(role=Role.SYSTEM, content="Be brief."), asked("Hi"), said("Hello. I add.")],
    "call": [asked("34+57?"), said("I add.", call("print(34+57)")), result("91"), said("So \\boxed{91}.")],
    "bare call": [asked("34+57?"), said("", call("34+57")), result("91"), said("91")],
    "two calls": [asked("?"), said("Two.", call("1"), call("2", 2)), result("1"), result("2"), said("3")],
    "thoughts": [asked("?"), said("", call("1"), reasoning="I think."), result("1"), said("3", reasoning="Now.")],
    "two questions": [asked("a"), said("b", reasoning="x"), asked("c"), said("d", reasoning="y")],
    "quotes": [asked('print("é") \\ 日本'), said("", call('print("é\\n日本")')), result("é\n日本"), said("ok")],
}


def as_openai(message: Message) -> dict[str, object]:
    out: dict[str, object] = {"role": message.role.value, "content": message.content}
    if message.reasoning is not None:
        out["reasoning_content"] = message.reasoning
    if message.tool_calls:
        out["tool_calls"] = [
            {"type": "function", "function": {"name": c.name, "arguments": json.loads(c.arguments)}}
            for c in message.tool_calls
        ]
    return out


def upstream(family: Family, messages: list[Message], tools: list[object], prompt: bool) -> list[int]:
    template = (files("trl") / "chat_templates" / f"{TEMPLATES[family]}.jinja").read_text()
    return qwen_tokenizer().apply_chat_template(
        [as_openai(m) for m in messages],
        tools=[tool.to_openai() for tool in tools] or None,
        chat_template=template,
        add_generation_prompt=prompt,
        tokenize=True,
        return_dict=False,
    )


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("with_tools", [False, True])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_equals_the_upstream_template(family: Family, with_tools: bool, name: str) -> None:
    messages, tools = CONVERSATIONS[name], [PYTHON] if with_tools else []
    renderer = Renderer(qwen_tokenizer(), family)
    assert list(renderer.conversation(messages, tools).ids_T) == upstream(family, messages, tools, prompt=False)
    assert list(renderer.prompt(messages[:1], tools).ids_T) == upstream(family, messages[:1], tools, prompt=True)


@pytest.mark.parametrize("name", ["call", "bare call", "two calls", "quotes"])
def test_the_suffix_after_a_turn_is_what_the_template_would_add(name: str) -> None:
    """Prompt + sampled ids + suffix = the template's next prompt: law 1 meets the upstream."""
    messages = CONVERSATIONS[name]
    renderer = Renderer(qwen_tokenizer())
    first = upstream(Family.QWEN3_INSTRUCT, messages[:1], [PYTHON], prompt=True)
    second = upstream(Family.QWEN3_INSTRUCT, messages[:-1], [PYTHON], prompt=True)
    results = [m.content for m in messages if m.role is Role.TOOL]
    suffix = list(renderer.results(results, 1, turn_closed=True).ids_T)
    assert second[: len(first)] == first
    assert second[-len(suffix) :] == suffix
    turn = second[len(first) : -len(suffix)]
    assert turn[-1] == renderer.end_id
    assert list(renderer.results(results, 1, turn_closed=False).ids_T) == [renderer.end_id, *suffix]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_decoding_by_segments_gives_the_messages_back(name: str) -> None:
    messages = CONVERSATIONS[name]
    renderer = Renderer(qwen_tokenizer())
    rendered = renderer.conversation(messages, [])
    parts = renderer.segments(rendered.ids_T, rendered.kinds_T)
    assert [t for k, t in parts if k is SegmentKind.PROMPT] == [
        m.content for m in messages if m.role in (Role.USER, Role.SYSTEM)
    ]
    assert [t for k, t in parts if k is SegmentKind.RESULT] == [m.content for m in messages if m.role is Role.TOOL]
    calls = "".join(t for k, t in parts if k is SegmentKind.CALL)
    assert calls.count("<tool_call>") == sum(len(m.tool_calls) for m in messages)
    trained = [number for number, mine in zip(rendered.ids_T, rendered.trained_T, strict=True) if mine]
    assert renderer.decode(trained).count("<|im_end|>") == sum(m.role is Role.ASSISTANT for m in messages)


hostile = st.lists(st.sampled_from([*MARKERS, "user\n", "a", " ", "\n", "{", "é", "<|im_", "end|>"]), max_size=8).map(
    "".join
)


@settings(max_examples=60, deadline=None)
@given(hostile, hostile, hostile)
def test_message_text_never_becomes_a_control_token(question: str, answer: str, observed: str) -> None:
    renderer = Renderer(qwen_tokenizer())
    harmless = [asked("x"), said("y", call("z")), result("w"), said("v")]
    messages = [asked(question), said(answer, call(question)), result(observed), said(answer)]

    def controls(given: list[Message]) -> list[str]:
        ids = renderer.conversation(given, [PYTHON]).ids_T
        return [renderer.markers_by_id[number] for number in ids if number in renderer.markers_by_id]

    assert controls(messages) == controls(harmless)


def test_a_simulated_users_own_calls_stay_invisible() -> None:
    renderer = Renderer(qwen_tokenizer())
    user_call = Message(role=Role.USER, tool_calls=(ToolCall(id="u1", name="reboot", arguments="{}"),))
    user_result = Message(role=Role.TOOL, content="rebooted", tool_call_id="u1", requestor=Role.USER)
    seen = [asked("My phone is slow."), said("Reboot it."), asked("Done.")]
    all_messages = [*seen[:2], user_call, user_result, seen[2]]
    assert renderer.prompt(all_messages, []) == renderer.prompt(seen, [])


def test_cut_keeps_head_and_tail_and_says_so() -> None:
    renderer = Renderer(qwen_tokenizer())
    text = " ".join(str(i) for i in range(500))
    cut, was_cut = renderer.cut(text, 60)
    assert was_cut
    assert cut.startswith("0 1 2")
    assert cut.endswith("499")
    assert "tokens cut" in cut
    assert renderer.num_tokens(cut) <= 75
    assert renderer.cut("short", 60) == ("short", False)


def test_a_tokenizer_without_the_control_tokens_is_refused() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    with pytest.raises(ValueError, match="no control token"):
        Renderer(bare)
