"""Evaluation items in attempts and tasks: found, recorded, and dropped where the recipe says so."""

import gzip
import json

import polars as pl
import pytest

from data_contracts.decisions import Reason
from data_contracts.messages import Message, Role
from data_contracts.overlaps import Overlap
from data_contracts.tasks import Split
from pipelines.curation.contamination import attempt_overlaps, task_overlaps, worst
from pipelines.curation.decontamination import DecontaminationRecipe, index_items
from pipelines.curation.difficulty import measure_difficulty
from pipelines.curation.recipes import RlDataRecipe, SftDataRecipe
from pipelines.curation.selection import select_rl, select_sft
from pipelines.sources.suites import held_out_items, suite_items
from tests.pipelines.curation.made import attempt, task

ITEM = "How many ways are there to put four balls into three boxes"
INDEX = index_items(
    pl.Series(["suite/1", "suite/2"]),
    pl.Series([ITEM, "What is two plus two in base three today"]),
    DecontaminationRecipe(),
)
NO_CALL = SftDataRecipe(needs_tool_call=False)


def saying(key: str, *texts: str, role: Role = Role.USER):
    messages = tuple(Message(role=role, content=text) for text in texts)
    return attempt(key, key, statuses=()).model_copy(update={"messages": messages})


def overlap(key: str, item: str, share: float, row_share: float = 0.5) -> Overlap:
    return Overlap(key=key, item=item, shared_words=4, row_share=row_share, item_share=share, covered_share=0.5)


def test_the_item_that_a_row_holds_most_of_comes_first_in_any_order():
    found = [overlap("a", "x", 0.5), overlap("a", "y", 1.0), overlap("b", "z", 1.0, 0.1), overlap("b", "w", 1.0, 0.1)]
    assert worst(found) == worst(found[::-1]) == {"a": (found[1],), "b": (found[3],)}


def test_the_nearest_item_stands_beside_the_one_that_a_row_holds_most_of():
    pairs = (("p", 0.8), ("q", 0.9))
    near = [overlap("a", name, 0.0).model_copy(update={"similarity": cosine}) for name, cosine in pairs]
    found = [overlap("a", "x", 0.5), *near]
    assert worst(found) == worst(found[::-1]) == {"a": (found[0], near[1])}


def test_an_item_in_other_words_is_found_by_vectors_and_dropped_where_the_recipe_asks():
    item = "Find the number of positive divisors of 196."
    said = "How many positive divisors does 196 have? Find their number: the number of divisors of 196."
    recipe = DecontaminationRecipe(min_similarity=0.3)
    index = index_items(pl.Series(["s/1", "s/2"]), pl.Series([item, "A train leaves Rome at noon."]), recipe)
    rows = [saying("near", "Hello.", said), saying("quoted", item), saying("far", "Bake bread.")]
    found = attempt_overlaps(rows, index)
    assert attempt_overlaps(rows[::-1], index) == found
    assert {(one.key, one.item): one.item_share for one in found} == {("near", "s/1"): 0.0, ("quoted", "s/1"): 1.0}
    assert all(one.similarity is not None and one.similarity >= 0.3 for one in found)
    assert found[1].similarity == pytest.approx(1.0)
    assert [one.key for one in select_sft(rows, NO_CALL, overlaps=found)[0]] == ["far", "near"]
    asked = NO_CALL.model_copy(update={"min_item_similarity": 0.3})
    kept, decisions = select_sft(rows, asked, overlaps=found)
    assert [one.key for one in kept] == ["far"]
    evidence = {one.subject: json.loads(one.evidence) for one in decisions}
    assert evidence["near"]["min_item_similarity"] == 0.3
    assert evidence["quoted"]["item_share"] == 1.0


def test_items_are_found_in_messages_but_not_in_the_system_s_and_not_across_two():
    rows = [
        saying("quoted", "Please solve:", f"{ITEM.upper()}? Think first."),
        saying("split", ITEM[:30], ITEM[30:]),
        saying("system", ITEM, role=Role.SYSTEM),
        saying("innocent", "How many ways are there to Rome?"),
    ]
    found = attempt_overlaps(rows, INDEX)
    assert [(one.key, one.item, one.item_share) for one in found] == [("quoted", "suite/1", 1.0)]
    assert attempt_overlaps(rows[::-1], INDEX) == found


def test_a_contaminated_attempt_goes_with_the_item_as_evidence_also_for_its_task_s_sake():
    rows = [saying("a", ITEM), saying("b", "Something else."), saying("c", "And else.")]
    overlaps = [*attempt_overlaps(rows, INDEX), overlap("c", "suite/2", 1.0), overlap("b", "suite/2", 0.9)]
    kept, decisions = select_sft(rows, NO_CALL, overlaps=overlaps)
    assert [one.key for one in kept] == ["b"]
    reasons = {one.subject: (one.reason, json.loads(one.evidence).get("item")) for one in decisions}
    assert reasons["a"] == (Reason.CONTAMINATED, "suite/1")
    assert reasons["c"] == (Reason.CONTAMINATED, "suite/2")
    off = NO_CALL.model_copy(update={"min_item_share": None})
    assert len(select_sft(rows, off, overlaps=overlaps)[0]) == 3
    strict = NO_CALL.model_copy(update={"min_item_share": 0.9})
    assert select_sft(rows, strict, overlaps=overlaps)[0] == []


def test_a_contaminated_task_is_no_task_for_rl():
    tasks = [task(1), task(2)]
    attempts = [attempt(f"{t.key}{i}", t.key) for t in tasks for i in range(2)]
    kept, decisions = select_rl(
        tasks,
        measure_difficulty(attempts),
        RlDataRecipe(drop_uniform_groups=False),
        [overlap(tasks[0].key, "s/1", 1.0)],
    )
    assert [one.key for one in kept] == [tasks[1].key]
    assert {one.subject: one.reason for one in decisions}[tasks[0].key] is Reason.CONTAMINATED


def test_held_out_tasks_are_items_and_training_tasks_are_not():
    train, test = task(1), task(2).model_copy(update={"split": Split.TEST})
    assert [(item.name, item.text) for item in held_out_items([train, test])] == [("made/2", "2 + 2?")]
    copy = task(3).model_copy(update={"messages": (Message(role=Role.USER, content=ITEM),)})
    assert [one.key for one in task_overlaps([copy, train], INDEX)] == [copy.key]


def test_a_suite_is_read_with_names_of_its_own_or_its_lines(tmp_path):
    rows = [
        {"problem": "Why?", "unique_id": "u/1"},
        {"question": "How?", "id": 7},
        {"question": "When?"},
        {"question": "Who?", "id": 7},
        {"Body": "Ann has 3 apples. She eats 1.", "Question": "How many are left?", "ID": "chal-9"},
    ]
    path = tmp_path / "exam.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    assert [(item.name, item.text) for item in suite_items(path)] == [
        ("exam/u/1", "Why?"), ("exam/7", "How?"), ("exam/3", "When?"), ("exam/7:4", "Who?"),
        ("exam/chal-9", "Ann has 3 apples. She eats 1. How many are left?"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "words"), [('{"answer": 3}', "exam.jsonl:1: no question"), ("{", "exam.jsonl:1: not JSON")]
)
def test_a_suite_with_a_bad_line_is_refused_by_place(tmp_path, line, words):
    (tmp_path / "exam.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=words):
        suite_items(tmp_path / "exam.jsonl")
    with pytest.raises(FileNotFoundError, match=r"\[decontamination\] suites"):
        suite_items(tmp_path / "other.jsonl")
