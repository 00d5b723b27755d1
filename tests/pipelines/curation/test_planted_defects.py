"""Defects planted in clean attempts: every one is found, by its own rule, and nothing else is."""

import random

import pytest

from data_contracts.attempts import CallStatus, Outcome, StopReason
from data_contracts.decisions import Reason, Verdict
from data_contracts.messages import Message, Role
from pipelines.curation.funnel import check_accounted
from pipelines.curation.recipes import Narration, SftDataRecipe
from pipelines.curation.selection import broken_rules, select_sft
from tests.pipelines.curation.played import FAILED, GOOD, TASK, Asked, played

EVERYTHING_ON = SftDataRecipe(
    narrations=tuple(Narration),
    max_trimmed_tokens=0,
    max_error_ratio=0.5,
    drop_unrecovered_errors=True,
    max_repeats=0,
    max_no_op_calls=0,
    needs_grounded_answer=True,
    drop_machine_paths=True,
    drop_flags=("oracle_hint",),
)
PER_DEFECT = 6
TOKEN = "ghp_" + "R8s2Kd91LmQx7Vb3Zt6Yp4Wc0Hj5Ng8Ua1Fe"


def clean(key, rng):
    """A good attempt: sometimes with a look into a page first, sometimes with a failure and its recovery."""
    steps = [GOOD, f"{key}: there are \\boxed{{42}} apples."]
    if rng.random() < 0.4:
        steps.insert(
            0, ("I look first.", Asked('{"page":"apples","lines":3}', f"Boxes of 7, says {key}.", name="lookup"))
        )
    if rng.random() < 0.4:
        steps.insert(0, FAILED)
    return steps


def first(steps, step):
    """The steps with one more at the beginning."""
    return [step, *steps]


def answer(steps, text):
    """The steps with more words in the answer."""
    return [*steps[:-1], f"{steps[-1]}\n{text}"]


def never_answered(row):
    place = max(i for i, m in enumerate(row.messages) if m.role is Role.TOOL)
    return row.model_copy(update={"messages": row.messages[:place] + row.messages[place + 1 :]})


def answered_twice(row):
    place = max(i for i, m in enumerate(row.messages) if m.role is Role.TOOL)
    return row.model_copy(update={"messages": (*row.messages[:place], row.messages[place], *row.messages[place:])})


def spliced_result(row):
    messages = [m.model_copy(update={"content": "6 x 7 = 42"}) if m.content == "42" else m for m in row.messages]
    return row.model_copy(update={"messages": tuple(messages)})


def trimmed(row):
    turns = (row.turns[0].model_copy(update={"trimmed_tokens": 3}), *row.turns[1:])
    return row.model_copy(update={"turns": turns})


MALFORMED, OTHER = CallStatus.MALFORMED, "browser"
IN_STEPS = {
    "a call of an unknown tool": (Reason.UNDECLARED_TOOL, lambda s: first(s, Asked("{}", "fine", name=OTHER))),
    "a number as text": (
        Reason.INVALID_ARGUMENTS,
        lambda s: first(s, Asked('{"page":"x","lines":"3"}', name="lookup")),
    ),
    "no required argument": (Reason.INVALID_ARGUMENTS, lambda s: first(s, Asked("{}", "7"))),
    "a call cut at the end": (
        Reason.TRUNCATED_CALL,
        lambda s: [*s[:-1], Asked('{"code":"pri', "bad", MALFORMED), s[-1]],
    ),
    "a marker never closed": (Reason.TRUNCATED_CALL, lambda s: answer(s, '<tool_call>\n{"name": "pyth')),
    "markup in the answer": (Reason.NARRATED_CALL, lambda s: answer(s, "<tool_call>\n{}\n</tool_call>")),
    "JSON of a call": (Reason.NARRATED_CALL, lambda s: answer(s, '{"name": "python", "arguments": {"code": "6*7"}}')),
    "a block of code": (Reason.NARRATED_CALL, lambda s: answer(s, "```python\nprint(6*7)\n```")),
    "an announcement": (Reason.NARRATED_CALL, lambda s: answer(s, "Let me run the tool again.")),
    "a line of result": (Reason.INVENTED_OBSERVATION, lambda s: answer(s, "Observation:\n42")),
    "tags of a result": (Reason.INVENTED_OBSERVATION, lambda s: answer(s, "<tool_response>42</tool_response>")),
    "many failures": (
        Reason.ERROR_RATIO,
        lambda s: [*(FAILED._replace(result=f"Error {n}") for n in range(3)), *s],
    ),
    "a failure at the end": (Reason.UNRECOVERED_ERROR, lambda s: [GOOD, FAILED._replace(result="no"), s[-1]]),
    "the same call twice": (Reason.REPEATED_CALL, lambda s: first(s, GOOD)),
    "an echo": (Reason.NO_OP_CALL, lambda s: first(s, Asked('{"code":"print(42)"}'))),
    "a comment as code": (Reason.NO_OP_CALL, lambda s: first(s, Asked('{"code":"# think"}', "None"))),
    "another number": (Reason.UNGROUNDED_ANSWER, lambda s: [*s[:-1], "There are \\boxed{9041} apples."]),
    "a token": (Reason.SECRET, lambda s: first(s, Asked('{"code":"env()"}', f"TOKEN={TOKEN}"))),
    "somebody's home": (Reason.MACHINE_PATH, lambda s: first(s, Asked('{"code":"cwd()"}', "/home/jsmith/x/"))),
    "no call": (Reason.NO_TOOL_CALL, lambda s: s[-1:]),
    "an empty turn": (Reason.VOID_TURN, lambda s: [*s[:-1], " ", s[-1]]),
}
IN_ROW = {
    "no result": (Reason.UNPAIRED_CALL, never_answered),
    "two results": (Reason.UNPAIRED_CALL, answered_twice),
    "another result in the text": (Reason.UNPAIRED_CALL, spliced_result),
    "text that was cut": (Reason.INVENTED_OBSERVATION, trimmed),
    "a flag": (Reason.FLAGGED, lambda row: row.model_copy(update={"flags": ("oracle_hint",)})),
    "a limit": (Reason.TRUNCATED, lambda row: row.model_copy(update={"stop": StopReason.LENGTH})),
    "a crash": (Reason.VOID, lambda row: row.model_copy(update={"outcome": Outcome.VOID})),
    "a wrong answer": (Reason.NOT_VERIFIED, lambda row: row.model_copy(update={"outcome": Outcome.WRONG})),
    "no verdict": (Reason.UNLABELLED, lambda row: row.model_copy(update={"outcome": Outcome.UNLABELLED})),
    "words of the user": (
        Reason.SECRET,
        lambda row: row.model_copy(update={"messages": (user(TOKEN), *row.messages[1:])}),
    ),
}


def user(text):
    return Message(role=Role.USER, content=f"How many apples are in 6 boxes of 7? {text}")


@pytest.fixture(scope="module")
def planted():
    """(attempts, defect by key): clean ones, and PER_DEFECT with each defect."""
    rng, rows, defects = random.Random(0), [], {}
    for defect in [None] * 20 + [*IN_STEPS, *IN_ROW] * PER_DEFECT:
        key = f"a{len(rows):04}"
        steps = clean(key, rng)
        steps = IN_STEPS[defect][1](steps) if defect in IN_STEPS else steps
        row = played(key, *steps)
        rows.append(IN_ROW[defect][1](row) if defect in IN_ROW else row)
        defects |= {key: defect} if defect else {}
    return rows, defects


def reason_of(defect):
    return (IN_STEPS | IN_ROW)[defect][0] if defect else Reason.PASSED


def test_every_planted_defect_decides_and_nothing_else_does(planted):
    rows, defects = planted
    kept, decisions = select_sft(rows, EVERYTHING_ON, [TASK])
    misses = {
        d.subject: (defects.get(d.subject), d.reason)
        for d in decisions
        if d.reason is not reason_of(defects.get(d.subject))
    }
    assert misses == {}
    assert {row.key for row in kept} == {row.key for row in rows} - defects.keys()


def test_precision_and_recall_of_each_rule_over_all_that_is_broken(planted):
    """Some defects break a second rule too; whatever a rule finds is among the defects that entail it."""
    entailed = {
        "a call cut at the end": {Reason.UNRECOVERED_ERROR, Reason.ERROR_RATIO, Reason.VOID_TURN},
        "a marker never closed": {Reason.VOID_TURN},
        "markup in the answer": {Reason.VOID_TURN},
    }
    rows, defects = planted
    for key, findings in broken_rules(rows, EVERYTHING_ON, [TASK]).items():
        defect = defects.get(key)
        wanted = {reason_of(defect)} - {Reason.PASSED}
        found = {finding.reason for finding in findings}
        assert wanted <= found <= wanted | entailed.get(defect, set()), (key, defect)


def test_the_order_of_rows_does_not_count_and_every_row_is_decided(planted):
    rows, _ = planted
    kept, decisions = select_sft(rows, EVERYTHING_ON, [TASK])
    shuffled = random.Random(1).sample(rows, len(rows))
    assert select_sft(shuffled, EVERYTHING_ON, [TASK]) == (kept, decisions)
    assert list(broken_rules(shuffled, EVERYTHING_ON, [TASK]).items()) == list(
        broken_rules(rows, EVERYTHING_ON, [TASK]).items()
    )
    check_accounted((row.key for row in rows), decisions)
    assert all((d.verdict is Verdict.KEEP) == (d.evidence == "{}") for d in decisions)


def test_by_default_defects_of_taste_stay(planted):
    rows, defects = planted
    _, decisions = select_sft(rows, SftDataRecipe(), [TASK])
    kept = {defects.get(d.subject) for d in decisions if d.verdict is Verdict.KEEP}
    assert kept - {None} == {
        "a block of code",
        "an announcement",
        "many failures",
        "a failure at the end",
        "the same call twice",
        "an echo",
        "a comment as code",
        "another number",
        "somebody's home",
        "text that was cut",
        "a flag",
    }
