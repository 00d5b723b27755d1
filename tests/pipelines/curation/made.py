"""Attempts and tasks made by hand or drawn by hypothesis."""

from hypothesis import strategies as st

from data_contracts.attempts import (
    Attempt,
    CallRecord,
    CallStatus,
    Flag,
    Origin,
    Outcome,
    Policy,
    PolicyKind,
    RepeatKind,
    StopReason,
    Turn,
)
from data_contracts.messages import Message, Role, ToolCall
from data_contracts.tasks import Split, Task, VerifierRef

STUDENT = Policy(kind=PolicyKind.STUDENT, name="s", revision="1")


MATH = VerifierRef(name="math", reference="4")


def task(n: int, verifier: VerifierRef | None = MATH) -> Task:
    return Task.create(
        messages=(Message(role=Role.USER, content=f"{n} + {n}?"),),
        verifier=verifier,
        source="made",
        source_id=str(n),
        domain="even" if n % 2 == 0 else "odd",
        licence="MIT",
        split=Split.TRAIN,
    )


def attempt(
    key: str,
    task_key: str = "t",
    outcome: Outcome = Outcome.CORRECT,
    statuses: tuple[CallStatus, ...] = (CallStatus.OK,),
    answer: str | None = None,
    stop: StopReason = StopReason.END,
    repeat_kind: RepeatKind = RepeatKind.INDEPENDENT,
    policy: Policy = STUDENT,
    flags: tuple[Flag, ...] = (),
) -> Attempt:
    """One turn per call, then an answer; the answer is the key, so transcripts differ unless `answer` says otherwise."""
    answer = f"It is {key}." if answer is None else answer
    calls = [
        CallRecord(id=f"{key}-{n}", name="python", arguments="{}", status=status, result="4")
        for n, status in enumerate(statuses)
    ]
    messages = [
        message
        for c in calls
        for message in (
            Message(role=Role.ASSISTANT, tool_calls=(ToolCall(id=c.id, name="python", arguments=c.arguments),)),
            Message(role=Role.TOOL, content=c.result, tool_call_id=c.id, name="python"),
        )
    ]
    return Attempt(
        key=key,
        task_key=task_key,
        index=0,
        policy=policy,
        spec_hash="h",
        seed=0,
        origin=Origin.RENDERED,
        tokenizer_id=None,
        messages=(*messages, Message(role=Role.ASSISTANT, content=answer)),
        turns=(*(Turn(text="", calls=(c,)) for c in calls), Turn(text=answer)),
        stop=stop,
        final_answer=answer,
        outcome=outcome,
        repeat_kind=repeat_kind,
        flags=flags,
        source="made",
        domain="d",
        licence="MIT",
    )


@st.composite
def attempt_lists(draw, max_size: int = 12) -> list[Attempt]:
    """Attempts at few tasks, some of them with equal transcripts."""
    keys = draw(st.lists(st.integers(0, 99), unique=True, max_size=max_size))
    return [
        attempt(
            f"a{key:02}",
            draw(st.sampled_from(["t1", "t2"])),
            draw(st.sampled_from(list(Outcome))),
            tuple(draw(st.lists(st.sampled_from([CallStatus.OK, CallStatus.ERROR, CallStatus.MALFORMED]), max_size=2))),
            draw(st.sampled_from(["x", "y", ""])),
            draw(st.sampled_from([StopReason.END, StopReason.LENGTH, StopReason.ENVIRONMENT_ERROR])),
            draw(st.sampled_from(list(RepeatKind))),
        )
        for key in keys
    ]
