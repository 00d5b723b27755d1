"""Each tool-aware rule on attempts written by hand: what breaks it, what comes close and does not."""

import json

import pytest

from data_contracts.attempts import CallStatus, StopReason, Turn
from data_contracts.decisions import Reason
from data_contracts.messages import Message, Role, ToolCall
from data_contracts.tools import ToolSpec
from pipelines.curation.recipes import Narration, SftDataRecipe
from pipelines.curation.rules import RULES, Case, all_broken, first_broken
from pipelines.curation.rules.declared import is_cut
from pipelines.curation.rules.grounding import rests_on_tool
from tests.pipelines.curation.played import ANSWER, FAILED, GOOD, TASK, Asked, played, with_messages

TOOLS = TASK.tools
CLEAN = played("a", ("I multiply.", GOOD), ANSWER)
RECOVERED = played("a", FAILED, GOOD, ANSWER)


def broken(row, tools=TOOLS, **options):
    return {
        finding.reason.value: finding.evidence for finding in all_broken(Case(row, tools), SftDataRecipe(**options))
    }


def evidence(row, reason, tools=TOOLS, **options):
    return json.loads(broken(row, tools, **options)[reason].canonical())


def result(text, call_id):
    return Message(role=Role.TOOL, content=text, tool_call_id=call_id)


def asks(*ids, role=Role.ASSISTANT):
    return Message(role=role, tool_calls=tuple(ToolCall(id=i, name="python", arguments=GOOD.arguments) for i in ids))


EVERYTHING_ON = {
    "narrations": tuple(Narration),
    "max_trimmed_tokens": 0,
    "max_error_ratio": 0.5,
    "drop_unrecovered_errors": True,
    "max_repeats": 0,
    "max_no_op_calls": 0,
    "needs_grounded_answer": True,
    "drop_machine_paths": True,
    "drop_flags": ("oracle_hint",),
}


@pytest.mark.parametrize("options", [{}, EVERYTHING_ON], ids=["default", "everything on"])
@pytest.mark.parametrize("row", [CLEAN, RECOVERED], ids=["clean", "recovered"])
def test_good_attempts_break_nothing(row, options):
    assert broken(row, **options) == {}


def test_every_rule_has_a_reason_of_its_own():
    assert len({rule.reason for rule in RULES}) == len(RULES)


def test_the_first_rule_that_is_broken_decides():
    row = played("a", Asked("{}", name="browser"), "The key is ghp_" + "a1B2c3D4e5" * 4)
    assert list(broken(row)) == ["undeclared_tool", "secret"]
    assert first_broken(Case(row, TOOLS), SftDataRecipe()).reason is Reason.UNDECLARED_TOOL
    assert first_broken(Case(row, TOOLS), SftDataRecipe(drop_undeclared_tools=False)).reason is Reason.SECRET


QUESTION, CALL, RESULT, LAST = CLEAN.messages


@pytest.mark.parametrize(
    ("messages", "problem", "call_id"),
    [
        ((QUESTION, CALL, LAST), "no_result", "a-0"),
        ((QUESTION, CALL, QUESTION, RESULT, LAST), "no_result", "a-0"),
        ((QUESTION, CALL, RESULT, RESULT, LAST), "no_call", "a-0"),
        ((QUESTION, RESULT, CALL, RESULT, LAST), "no_call", "a-0"),
        ((QUESTION, CALL, result("42", "b-7"), LAST), "no_call", "b-7"),
        ((QUESTION, asks("a-0", "a-0"), RESULT, RESULT, LAST), "repeated_id", "a-0"),
        ((QUESTION, CALL, RESULT, CALL, RESULT, LAST), "repeated_id", "a-0"),
        ((QUESTION, CALL, result("41", "a-0"), LAST), "records_differ", "a-0"),
        ((QUESTION, LAST), "records_differ", "a-0"),
        ((QUESTION, asks("a-0", "a-1"), RESULT, result("1", "a-1"), LAST), "records_differ", "a-1"),
    ],
)
def test_unpaired_calls(messages, problem, call_id):
    row = with_messages(CLEAN, *messages)
    found = evidence(row, "unpaired_call")
    assert (found["problem"], found["call_id"]) == (problem, call_id)
    assert "unpaired_call" not in broken(row, drop_unpaired_calls=False)


@pytest.mark.parametrize(
    "messages",
    [
        (QUESTION, CALL, Message(role=Role.TOOL, content="42"), LAST),
        (
            QUESTION,
            asks("u", role=Role.USER),
            result("on", "u").model_copy(update={"requestor": Role.USER}),
            CALL,
            RESULT,
            LAST,
        ),
    ],
    ids=["a result without an id answers the call that waits", "a simulated user's calls are its own"],
)
def test_paired_calls(messages):
    assert broken(with_messages(CLEAN, *messages)) == {}


def test_results_of_parallel_calls_may_come_in_any_order():
    (first,) = CLEAN.turns[0].calls
    second = first.model_copy(update={"id": "a-1", "result": "2"})
    row = with_messages(CLEAN, QUESTION, asks("a-0", "a-1"), result("2", "a-1"), RESULT, LAST)
    assert broken(row.model_copy(update={"turns": (Turn(text="", calls=(first, second)), CLEAN.turns[1])})) == {}


def test_a_call_that_ends_the_run_may_stay_open():
    row = played("a", GOOD, Asked('{"code":"submit(42)"}', None))
    assert broken(row) == {}
    assert evidence(row, "unpaired_call", open_last_call=False)["call_id"] == "a-1"


def test_undeclared_tools():
    browser = Asked("{}", name="browser")
    refused = Asked("{}", "Error: unknown tool 'browser'", CallStatus.UNKNOWN_TOOL, name="browser")
    assert evidence(played("a", browser, ANSWER), "undeclared_tool") == {
        "call_id": "a-0",
        "name": "browser",
        "declared": "python,lookup",
    }
    assert "undeclared_tool" in broken(played("a", refused, ANSWER))
    assert "undeclared_tool" in broken(played("a", refused, ANSWER), tools=())
    assert "undeclared_tool" in broken(played("a", browser, GOOD, ANSWER)), "it was carried out: nothing was refused"
    assert broken(played("a", refused, GOOD, ANSWER)) == {}
    assert "undeclared_tool" in broken(played("a", refused, GOOD, ANSWER), keep_recovered=False)
    assert broken(played("a", browser, ANSWER), tools=()) == {}, "nobody knows what was declared"


@pytest.mark.parametrize(
    ("arguments", "name", "problem"),
    [
        ("{}", "python", "'code' is a required property"),
        ('{"code":1}', "python", "code: 1 is not of type 'string'"),
        ('{"code":"1","timeout":3}', "python", "Additional properties are not allowed ('timeout' was unexpected)"),
        ('{"page":"x","lines":"3"}', "lookup", "lines: '3' is not of type 'integer'"),
        ('["code"]', "python", "the arguments are no JSON object"),
        ("{code: 1}", "python", "the arguments are no JSON object"),
        ("[" * 100_000, "python", None),
    ],
)
def test_invalid_arguments(arguments, name, problem):
    row = played("a", Asked(arguments, name=name), ANSWER)
    if problem is None:
        assert "invalid_arguments" in broken(row)
        return
    assert evidence(row, "invalid_arguments")["problem"] == problem
    refused = Asked(arguments, "Error", CallStatus.INVALID_ARGUMENTS, name)
    assert "invalid_arguments" not in broken(played("a", refused, GOOD, ANSWER))


def test_arguments_without_a_schema_that_can_judge_are_not_judged():
    odd = ToolSpec(name="python", description="", parameters='{"type":"strng"}')
    foreign = ToolSpec(name="python", description="", parameters='{"$ref":"http://localhost:1/x.json"}')
    for tools in ((), (odd,), (foreign,)):
        assert broken(played("a", Asked("{}"), ANSWER), tools=tools) == {}


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ('{"code": "print(', True),
        ('{"code": "1"', True),
        ('{"code":', True),
        ("", True),
        ("{}", False),
        ("{'a': 1}", False),
    ],
)
def test_cut_json(text, cut):
    assert is_cut(text) is cut


def test_truncated_calls():
    cut = Asked('{"name": "python", "arguments": {"code": "print(6', "Error: malformed call", CallStatus.MALFORMED)
    assert evidence(played("a", cut, ANSWER), "truncated_call")["call_id"] == "a-0"
    assert "truncated_call" not in broken(played("a", cut, GOOD, ANSWER))
    assert "truncated_call" in broken(played("a", cut, GOOD, ANSWER), keep_recovered=False)
    wrong = Asked("{'code': 1}", "Error: malformed call", CallStatus.MALFORMED)
    assert "truncated_call" not in broken(played("a", wrong, ANSWER)), "it is complete, and not JSON"


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ('I run it.\n<tool_call>\n{"name": "python"', True),
        ("<execute>\nprint(6", True),
        ("<execute>\nprint(1)\n</execute> and <execute>\nprint(2", True),
        ("<execute>\nprint(6)\n</execute>", False),
        ("The <tool_call> tag opens a call. \\boxed{42}", False),
        ("Write `<execute>` or <solution>.", False),
        ("(already imported in <execute> environment):\n[1] lookup(page: str)", False),
        ("<step> Source: assistant\nDestination: ipython\n\nprint(6", True),
        ("There are \\boxed{42}.", False),
    ],
)
def test_calls_cut_in_the_text(text, cut):
    assert ("truncated_call" in broken(played("a", GOOD, text))) is cut


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<execute>\nx = 6*7\n</execute>", None),
        ("<execute>\nx = 6*7\n</execute> and then <execute>\nprint(x)\n</execute>", "narrated_call"),
        ("<execute>\nx = 6*7\n</execute> and then <execute>\nprint(x", "truncated_call"),
        ("<tool_call><function=python>6*7</function></tool_call>", None),
        ("The <execute> tag runs code:\n<execute>\n1\n</execute>\n<execute>\n2\n</execute>", None),
        ("<execute>\nx = 6*7", None),
    ],
)
def test_calls_in_the_text_of_a_turn_that_made_one(text, reason):
    """The first closed one is the one that was made; where none is closed, the call may come from elsewhere."""
    assert set(broken(played("a", (text, GOOD), ANSWER))) == ({reason} if reason else set())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('<tool_call>\n{"name": "python", "arguments": {"code": "1"}}\n</tool_call>', "markup"),
        ("<step> Source: assistant\nDestination: ipython\n\nprint(6*7)<step> Source: assistant", "markup"),
        ("I look.\nAction: lookup\nAction Input: apples", "markup"),
        ('```json\n{"name": "lookup", "arguments": {"page": "apples"}}\n```', "json"),
        ('Call: {"name": "python", "parameters": {"code": "6*7"}}', "json"),
        ("I would run\n```python\nprint(6*7)\n```\nand get \\boxed{42}.", "code"),
        ('lookup(page="apples") says \\boxed{42}.', "code"),
        ("Let me run the code. It gives \\boxed{42}.", "words"),
        ("I will now use `lookup` to see.", "words"),
        ('The record is {"name": "Ann", "arguments": {"age": 3}}.', None),
        ("The action: buy 42 apples.", None),
        ("Let me use the distributive law: \\boxed{42}.", None),
        ("A `<tool_call>` tag, then </tool_call>: \\boxed{42}.", None),
        (ANSWER, None),
    ],
)
def test_narrated_calls(text, kind):
    row = played("a", GOOD, text)
    everything = {"narrations": tuple(Narration)}
    assert ("narrated_call" in broken(row, **everything)) is (kind is not None)
    assert ("narrated_call" in broken(row)) is (kind in ("markup", "json"))
    if kind:
        assert evidence(row, "narrated_call", **everything)["kind"] == kind
        assert "narrated_call" not in broken(played("a", (text, GOOD), ANSWER), **everything), "this turn calls"


def test_thoughts_may_plan_a_call():
    thought = CLEAN.messages[-1].model_copy(update={"reasoning": "Action: python\nAction Input: 6*7"})
    assert broken(with_messages(CLEAN, *CLEAN.messages[:-1], thought)) == {}


@pytest.mark.parametrize(
    ("text", "invented"),
    [
        ("Observation:\n42\n\nSo \\boxed{42}.", True),
        ("</execute>\n\nHuman: Observation:\n42", True),
        ("[INST] Observation: 42", True),
        ("<tool_response>\n42\n</tool_response>", True),
        ("**Tool output:** 42", True),
        ("<llm-code>\nprint(6*7)\n</llm-code>\n<llm-code-output>\n42\n</llm-code-output>", True),
        ("```python\nprint(6*7)\n```\n\n**Output**: 42", True),
        ("The output is:\n\nOut[2]: 42", True),
        ("</execute>\n\nThe output of this code is:\n\n<output> 42 </output>", True),
        (
            "</execute> and much later, where nobody speaks of that code any more, the answer, as you asked, in <output> 42",
            False,
        ),
        ("As you ask, between tags: <output>42</output>", False),
        ("The output: 42. Our `Out[1]: x` is a list.", False),
        ("It prints this:\n```\n42\n```\nIts outputs follow.", False),
        ("```output\n42\n```", True),
        ("My observation: it is even. \\boxed{42}", False),
        ("This observation helps: \\boxed{42}", False),
        ("The result: \\boxed{42}", False),
    ],
)
def test_invented_observations(text, invented):
    assert ("invented_observation" in broken(played("a", (text, GOOD), ANSWER))) is invented
    assert ("invented_observation" in broken(played("a", GOOD, text))) is invented


def test_an_importer_can_flag_an_invented_observation():
    assert evidence(played("a", GOOD, ANSWER, flags=("invented_observation",)), "invented_observation")["turn"] is None


def test_trimmed_text_counts_only_where_the_recipe_says_so():
    turns = (CLEAN.turns[0].model_copy(update={"trimmed_tokens": 9}), CLEAN.turns[1])
    row = CLEAN.model_copy(update={"turns": turns})
    assert broken(row) == broken(row, max_trimmed_tokens=9) == {}
    assert evidence(row, "invented_observation", max_trimmed_tokens=8) == {
        "turn": 0,
        "trimmed_tokens": 9,
        "max_trimmed_tokens": 8,
    }


def test_the_error_ratio_counts_recovered_errors_too():
    row = played("a", FAILED, FAILED, GOOD, ANSWER)
    assert broken(row) == broken(row, max_error_ratio=0.67) == {}
    assert evidence(row, "error_ratio", max_error_ratio=0.66) == {"failed": 2, "calls": 3, "max_error_ratio": 0.66}
    assert broken(played("a", ANSWER), max_error_ratio=0.0, needs_tool_call=False) == {}


def test_unrecovered_errors():
    assert evidence(played("a", GOOD, FAILED, ANSWER), "unrecovered_error", drop_unrecovered_errors=True) == {
        "call_id": "a-1",
        "status": "error",
    }
    assert broken(RECOVERED, drop_unrecovered_errors=True) == {}
    assert broken(played("a", GOOD, FAILED, ANSWER)) == {}


def test_repeated_calls():
    same = Asked('{ "code" : "print(6*7)" }')
    row = played("a", GOOD, same, GOOD, ANSWER)
    assert evidence(row, "repeated_call", max_repeats=1)["repeats"] == 2
    assert broken(row) == broken(row, max_repeats=2) == {}
    assert broken(played("a", GOOD, GOOD._replace(result="43"), ANSWER), max_repeats=0) == {}, "the world changed"
    assert broken(played("a", GOOD, GOOD._replace(arguments='{"code":"42"}'), ANSWER), max_repeats=0) == {}


@pytest.mark.parametrize(
    ("first", "second", "repeats"),
    [
        (
            "Observation:\n7\nYou have 2 steps left and 2 chances to propose solution left.\n",
            "Observation:\n7\nYou have 1 steps left and 2 chances to propose solution left.\n"
            "You should take the last step to propose a solution.\n",
            True,
        ),
        ("Out[2]: 7", "Out[3]: 7", True),
        ("Cell In[2], line 1", "Cell In[3], line 1", True),
        ("Out[2]: 7", "Out[3]: 8", False),
        ("7 steps left", "6 steps left", False),
    ],
)
def test_what_a_harness_counts_makes_no_other_result(first, second, repeats):
    row = played("a", GOOD._replace(result=first), GOOD._replace(result=second), ANSWER)
    assert ("repeated_call" in broken(row, max_repeats=0)) is repeats


def test_calls_whose_end_is_not_known_repeat_nothing():
    row = played("a", GOOD._replace(result=""), GOOD._replace(result=""), ANSWER)
    assert "repeated_call" in broken(row, max_repeats=0)
    turns = [
        turn.model_copy(
            update={"calls": tuple(c.model_copy(update={"status": CallStatus.UNKNOWN}) for c in turn.calls)}
        )
        for turn in row.turns
    ]
    assert "repeated_call" not in broken(row.model_copy(update={"turns": tuple(turns)}), max_repeats=0)


@pytest.mark.parametrize(
    ("code", "output", "kind"),
    [
        ("print(42)", "42", "echo"),
        ("# the answer\nprint('forty-two')", "forty-two", "echo"),
        ("  # nothing\n", "", "empty"),
        ("pass", "", "empty"),
        ("x = 6*7", "", "silent"),
        ("x = 42\nprint(x)", "42", "echo"),
        ("print(6); y = '7'\nprint( y )", "6\n7", "echo"),
        ("x = 42", "(no output)", None),
        ("x = 6*7\nprint(x)", "42", None),
        ("print(6)\nprint(x)", "6\n42", None),
        ("print(6*7)", "42", None),
        ("print(84/2)", "42.0", None),
        ("print(x)", "42", None),
        ("42", "42", None),
    ],
)
def test_no_op_calls(code, output, kind):
    row = played("a", Asked(json.dumps({"code": code}), output), ANSWER)
    assert broken(row) == {}
    found = broken(row, max_no_op_calls=0).get("no_op_call")
    assert (found and found.kind) == kind
    assert broken(row, max_no_op_calls=1) == {}


def test_only_arguments_that_hold_code_can_be_comments():
    row = played("a", Asked('{"page":"#W6908222"}', "6 boxes of 7", name="lookup"), ANSWER)
    assert "no_op_call" not in broken(row, max_no_op_calls=0)


def test_a_measured_silence_beats_the_text_of_the_result():
    row = played("a", Asked('{"code":"x = 42"}', "(no output)"), ANSWER)
    silent = row.turns[0].calls[0].model_copy(update={"printed": False})
    row = row.model_copy(update={"turns": (Turn(text="", calls=(silent,)), row.turns[1])})
    assert broken(row, max_no_op_calls=0)["no_op_call"].kind == "silent"


@pytest.mark.parametrize(
    ("output", "answer", "rests"),
    [
        ("42", "It is \\boxed{42}.", True),
        ("42.0", "It is 42 apples.", True),
        ("41.98765", "About \\boxed{41.99}.", True),
        ("-1,042", "Minus 1042.", True),
        ("[-9/2]", "\\boxed{-4.5}", True),
        ("43", "It is \\boxed{42}.", False),
        ("9" * 5000 + "/3 and 1/0", "It is \\boxed{42}.", False),
        ("21", "Twice that is \\boxed{42}.", False),
        ("Paris is in France", "It is Paris.", True),
        ("Rome", "It is Paris.", False),
        ("Nothing happens.", "The vase is in the safe.", None),
        ("Rome", "However, nobody could find it.", None),
        ("Rome", "Unknown", None),
        ("42", "I count 7 steps. <solution> 42 </solution>", True),
        ("7", "I count 7 steps. <solution> 42 </solution>", False),
        ("Rome", "1. I read it.\n2. I found Rome.", True),
        ("41.98", "It is 41 apples.", True),
        ("41.98", "It is 42 apples.", True),
        ("41.98", "It is 43 apples.", False),
        ("0.16665", "\\boxed{\\frac{1}{6}}", True),
        ("0.2", "\\boxed{\\frac{1}{6}}", False),
        ("Done.\nYou have 42 steps left and 2 chances to propose solution left.", "It is 42.", False),
        ("42", "There are 7 in a box.", None),
        ("42", "", None),
        ("(32400.0, 24000.0)", "The difference is $32,400 - $24,000 = $8,400. \\boxed{8400}", True),
        ("32", "It is \\(32 \\times 2 = 64\\), and 64 + 4 = 68. \\boxed{68}", True),
        ("7", "It is 32 + 32 = 64. \\boxed{64}", False),
        ("40", "One is \\boxed{40}, the other \\boxed{25}.", True),
        ("0.0895", "About \\boxed{9}%.", True),
        ("0.0895", "About \\boxed{9}.", False),
        ("13", "The units digit is \\boxed{3}.", True),
        ("0.8888888888888888", "It is 8/9 of all.", True),
        ("Rome", "Since I am done, goodbye! Source: assistant Destination: user", None),
        ("4.54e-05", "It is 0.0000454.", True),
        ("4.54e-06", "It is 0.0000454.", False),
        ("(Fraction(17, 2), 1)", "\\boxed{\\frac{17}{2}}", True),
        ("(3.0, 4.0)", "\\boxed{\\frac{3}{4}}", True),
        ("[20, 8]", "8/20 x 100% makes 40%.", True),
        ("[20]", "8/20 x 100% makes 40%.", False),
        ("9", "So 9 \\* 5 = 45.", True),
        ("9", "So 9 + 5 = <solution> 14 </solution>.", True),
        ("6.0", "From c = 3 it is 6.", True),
        ("8.0", "From c = 3 it is 6.", False),
        ("Rome", "It is 9: \\boxed{}", None),
        ("Rome", "It is undefined: \\boxed{Undefined}", None),
        ("Rome", "add = lambda x: x + 9", None),
    ],
)
def test_answers_that_rest_on_a_tool(output, answer, rests):
    row = played("a", Asked(GOOD.arguments, output), answer)
    assert rests_on_tool(Case(row)) is rests
    assert ("ungrounded_answer" in broken(row, needs_grounded_answer=True)) is (rests is False)
    assert "ungrounded_answer" not in broken(row)


@pytest.mark.parametrize(
    ("results", "answer", "rests"),
    [
        (("19", "13"), "Together 32.", True),
        (("19", "13"), "That is 247.", True),
        (("13", "26"), "Half of it: 0.5.", True),
        (("19", "13"), "Together 33.", False),
        (("19", "19"), "Together 38.", False),
        (("19 and 1", "13"), "Together 32.", False),
    ],
)
def test_an_answer_one_step_from_two_results_rests_on_them(results, answer, rests):
    calls = [Asked(GOOD.arguments, result) for result in results]
    assert rests_on_tool(Case(played("a", *calls, answer))) is rests


@pytest.mark.parametrize(
    ("arguments", "answer", "rests"),
    [
        ('{"page":"Bokura"}', "I found no Bokura.", None),
        ('{"page":"Hentai"}', "I found no Bokura.", False),
        ('{"day":"2023-05-26"}', "Nothing on the 26th of 2023.", None),
        ('{"code":"2023-26"}', "Nothing on the 26th of 2023.", False),
        ('{"expression":"30 + 2"}', "Nothing but 32, or 30.", False),
    ],
)
def test_what_the_model_asked_for_itself_is_nothing_new(arguments, answer, rests):
    assert rests_on_tool(Case(played("a", Asked(arguments, "[]"), answer))) is rests


@pytest.mark.parametrize("answer", ["def f(x):\n    return x", "So:\n```\nx\n```", "import numpy\nnumpy.one()"])
def test_code_is_judged_by_running_it(answer):
    assert rests_on_tool(Case(played("a", GOOD, answer))) is None


def test_only_successful_calls_ground_an_answer_and_dialogues_are_not_judged():
    assert rests_on_tool(Case(played("a", FAILED, ANSWER))) is None
    talk = Message(role=Role.USER, content="Thanks!")
    row = with_messages(played("a", GOOD, "You are welcome."), *CLEAN.messages[:3], talk, LAST)
    assert rests_on_tool(Case(row)) is None


SECRETS = {
    "private_key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq0",
    "aws": "AKIA" + "QZ3V7XK2M5TN8RWB",
    "github": "ghp_" + "R8s2Kd91LmQx7Vb3Zt6Yp4Wc0Hj5Ng8Ua1Fe",
    "gitlab": "glpat-" + "x7Kd91LmQx7Vb3Zt6Yp4",
    "anthropic": "sk-ant-" + "api03-R8s2Kd91LmQx7Vb3Zt6Yp4Wc0Hj5",
    "openai": "sk-proj-" + "R8s2Kd91LmQx7Vb3Zt6Yp4Wc0Hj5Ng8Ua1Fe",
    "hugging_face": "hf_" + "RsKdLmQxVbZtYpWcHjNgUaFeRsKdLmQxVb",
    "google": "AIza" + "R8s2Kd91LmQx7Vb3Zt6Yp4Wc0Hj5Ng8Ua1F",
    "slack": "xoxb-" + "2048-R8s2Kd91LmQx",
    "stripe": "sk_live_" + "R8s2Kd91LmQx7Vb3",
    "jwt": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjMiLCJuIjoxfQ.dBjftJeZ4CVPmB92K27uhbUJU1p1r",
    "pypi": "pypi-AgEI" + "cHlwaS5vcmcCJR8s2Kd91LmQx7Vb3Zt6Yp4Wc0Hj5Ng8Ua1FeXq2",
    "npm": "npm_" + "R8s2Kd91LmQx7Vb3Zt6Yp4Wc0Hj5Ng8Ua1Fe",
    "url_password": "postgres://shop:Tr0ub4dor" + "@db.shop.io/orders",
    "bearer": "Authorization: Bearer R8s2Kd91LmQx7Vb3Zt6Yp4Wc0Hj5",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_secrets_are_found_wherever_they_stand_and_never_repeated(kind):
    text = f"use {SECRETS[kind]} here"
    places = {
        0: played("a", GOOD, ANSWER, question=Message(role=Role.USER, content=text)),
        1: played("a", Asked(json.dumps({"code": text})), ANSWER),
        2: played("a", Asked(GOOD.arguments, text), ANSWER),
        3: played("a", GOOD, text),
    }
    for place, row in places.items():
        found = evidence(row, "secret")
        assert (found["kind"], found["message"]) == (kind, place)
        assert SECRETS[kind] not in json.dumps(found)
        assert "secret" not in broken(row, drop_secrets=False)


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "sk-" + "x" * 48,
        "sk-your-api-key-goes-here-please-1234567",
        "ghp_" + "*" * 36,
        "task-force-one-hundred-and-forty-one-members",
        "risk-adjusted-return-on-capital-of-the-year",
        "https://example.com:8080/a@b",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQ",
        "Bearer of good news for everybody around here",
        "3f2a91c07b5e4d68a1c2e3f405162738",
    ],
)
def test_what_only_looks_like_a_secret_is_spared(text):
    assert broken(played("a", GOOD, f"{text} gives \\boxed{{42}}")) == {}


@pytest.mark.parametrize(
    ("text", "home"),
    [
        ('File "/home/jsmith/notes/a.py", line 3', "/home/"),
        ("/Users/annika.b/Desktop/notes.txt", "/Users/"),
        ("C:\\Users\\Piotr\\data.csv", "C:\\Users\\"),
        ("C:\\\\Users\\\\Piotr\\\\data.csv", "C:\\\\Users\\\\"),
        ("/home/user/a.py", None),
        ("/home/ubuntu/a.py and /Users/Shared/b", None),
        ("https://example.com/home/jsmith/", None),
        ("go /home/", None),
        ("/usr/lib/python3/a.py", None),
    ],
)
def test_machine_paths(text, home):
    row = played("a", Asked(GOOD.arguments, text), ANSWER)
    assert broken(row) == {}
    found = broken(row, drop_machine_paths=True).get("machine_path")
    assert (found and found.home) == home


def test_flags_that_the_recipe_names():
    row = played("a", GOOD, ANSWER, flags=("oracle_hint", "shaped_reward"))
    assert broken(row) == {}
    assert evidence(row, "flagged", drop_flags=("oracle_hint",))["flags"] == "oracle_hint"


def test_long_text_is_shortened_in_evidence_and_says_so():
    found = evidence(played("a", Asked("[" + "1," * 500 + "1]"), ANSWER), "invalid_arguments")
    assert found["arguments"].endswith("[+843 characters]")


def test_a_limit_that_stopped_the_attempt_comes_first():
    row = played("a", GOOD, "<tool_call>\n{", stop=StopReason.LENGTH)
    assert first_broken(Case(row, TOOLS), SftDataRecipe()).reason is Reason.TRUNCATED
