"""The published form: message content is text, calls and tools are JSON that survives, every row says where it is from."""

import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from data_contracts.attempts import (
    Attempt,
    CallRecord,
    CallStatus,
    Origin,
    Outcome,
    Policy,
    PolicyKind,
    StopReason,
    Turn,
)
from data_contracts.decisions import Decision, Reason, Verdict
from data_contracts.manifests import RunInput
from data_contracts.messages import Message, Role, ToolCall
from data_contracts.storage import (
    finish_dataset,
    row_groups,
    row_key,
    scratch_folder,
    to_table,
    verify_files,
    write_part,
)
from data_contracts.tasks import Split, Task, VerifierRef
from data_contracts.tools import ToolSpec
from pipelines.curation.funnel import funnel
from pipelines.publishing.card import FUNNEL, Provenance
from pipelines.publishing.folder import Table, rows_of_tables, write_folder
from pipelines.publishing.tables import published_tables
from pipelines.publishing.trajectories import tool_texts, trajectory_table

TOOL = ToolSpec(
    name="python", description="Run.", parameters='{"type":"object","properties":{"code":{"type":"string"}}}'
)
TASK = Task.create(
    messages=(Message(role=Role.USER, content="42"),),
    tools=(TOOL,),
    verifier=VerifierRef(name="exact", reference="42"),
    source="made",
    source_id="1",
    domain="numbers",
    licence="MIT",
    split=Split.TRAIN,
)


def attempt(index: int, arguments: str) -> Attempt:
    policy = Policy(kind=PolicyKind.TEACHER, name="teacher", revision="1")
    messages = (
        Message(role=Role.USER, content="42"),
        Message(role=Role.ASSISTANT, tool_calls=(ToolCall(id="call_1", name="python", arguments=arguments),)),
        Message(role=Role.TOOL, content='{"a": 1}', tool_call_id="call_1", name="python"),
        Message(role=Role.ASSISTANT, content="null", reasoning="So it is."),
    )
    call = CallRecord(id="call_1", name="python", arguments=arguments, status=CallStatus.ERROR, result='{"a": 1}')
    return Attempt(
        key=Attempt.make_key(TASK.key, index, policy, "s", 0),
        task_key=TASK.key,
        index=index,
        policy=policy,
        spec_hash="s",
        seed=0,
        origin=Origin.RENDERED,
        tokenizer_id=None,
        messages=messages,
        turns=(Turn(text="", calls=(call,)), Turn(text="null")),
        stop=StopReason.END,
        final_answer="null",
        outcome=Outcome.WRONG,
        source="made",
        domain="numbers",
        licence="MIT",
    )


def decision(subject: str) -> Decision:
    return Decision(
        subject=subject,
        stage="sft_dataset",
        verdict=Verdict.KEEP,
        reason=Reason.PASSED,
        evidence="{}",
        filter_version="1",
    )


PROVENANCE = Provenance(
    name="made", licence="MIT", recipe="own", git_commit="abc", teachers=["teacher@1"], students=[],
    sources=[("made", "MIT")], inputs={"attempts": "h"},
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    rows = [attempt(0, '{"code":"42","n":"7"}'), attempt(1, "no JSON {")]
    decisions = [decision(row.key) for row in rows]
    decided = {d.subject: (d.verdict.value, d.reason.value, d.filter_version) for d in decisions}
    table = trajectory_table(sorted(rows, key=row_key), {TASK.key: tool_texts(TASK.tools)}, decided)
    empty = Table("empty", "Nothing", {"train": [table.slice(0, 0)]})
    tables = [Table("trajectories", "All", {"train": [table]}), empty]
    written, manifest = write_folder(tmp_path / "out", tables, PROVENANCE, funnel(decisions, FUNNEL), "{}")
    verify_files(written, manifest.files)
    return written


def test_text_stays_text_and_json_stays_what_it_was(folder, tmp_path):
    rows = list(load_dataset(str(folder), split="train", cache_dir=str(tmp_path)))
    arguments = [row["messages"][1]["tool_calls"][0]["function"]["arguments"] for row in rows]
    assert {"code": "42", "n": "7"} in arguments
    assert "no JSON {" in arguments
    for row in rows:
        texts = [message["content"] for message in row["messages"]]
        assert texts == ["42", "", '{"a": 1}', "<think>\nSo it is.\n</think>\n\nnull"]
        assert row["tools"] == [TOOL.to_openai()]


def test_every_row_says_where_it_comes_from(folder, tmp_path):
    for row in load_dataset(str(folder), split="train", cache_dir=str(tmp_path)):
        assert (row["source"], row["licence"], row["task_key"], row["policy"]) == ("made", "MIT", TASK.key, "teacher@1")
        assert (row["verdict"], row["reason"], row["filter_version"]) == ("keep", "passed", "1")
        assert (row["num_calls"], row["num_failed_calls"]) == (1, 1)


def test_the_card_names_licence_tables_funnel_and_what_is_not_covered(folder):
    card = (folder / "README.md").read_text()
    assert card.startswith('---\nlicense: "MIT"\n')
    assert "| trajectories | 2 | All |" in card
    assert "| sft_dataset | keep | passed | 2 |" in card
    assert "near-duplicates" in card
    assert "empty" not in card


def test_files_have_a_page_index_and_equal_input_gives_the_same_folder(folder, tmp_path):
    parquet = folder / "data" / "trajectories" / "train-00000.parquet"
    assert pq.ParquetFile(parquet).metadata.row_group(0).column(0).has_offset_index
    table = pq.read_table(parquet)
    assert isinstance(table.schema.field("rewards").type, pa.JsonType)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert folder.name == manifest["content_hash"]


ROWS_PER_SHARD = 20


def released(root, num_rows, num_chars):
    """Inputs of the published tables: attempts of so many characters, every third one kept, in shards."""
    long = {"code": "x" * num_chars}
    rows = [attempt(n, json.dumps(long)) for n in range(num_rows)]
    decided = [
        decision(row.key).model_copy(update={} if n % 3 == 0 else {"verdict": Verdict.DROP, "reason": Reason.DUPLICATE})
        for n, row in enumerate(rows)
    ]
    found = {}
    for name, entries, record in (
        ("attempts", rows, Attempt),
        ("tasks", [TASK], Task),
        ("sft_decisions", decided, Decision),
    ):
        groups = row_groups([to_table(sorted(entries, key=row_key), record)], ROWS_PER_SHARD)
        with scratch_folder(root / name) as scratch:
            part = write_part(scratch / "part-00000.parquet", groups, record)
            written, manifest = finish_dataset(root, name, scratch, [part], record)
        found[name] = RunInput(name=name, path=str(written), content_hash=manifest.content_hash)
    return rows, decided, found


def test_every_attempt_is_published_once_with_its_own_decision_and_tools(tmp_path):
    rows, decided, inputs = released(tmp_path, 50, 10)
    written, manifest = write_folder(
        tmp_path / "out", published_tables(inputs), PROVENANCE, funnel(decided, FUNNEL), "{}"
    )
    assert rows_of_tables(manifest) == {
        ("trajectories", "train"): 17, ("dropped", "train"): 33, ("tasks", "train"): 1, ("decisions", "train"): 50,
    }  # fmt: skip
    reasons = {one.subject: one.reason.value for one in decided}
    for name, kept in (("trajectories", True), ("dropped", False)):
        table = pq.read_table(written / "data" / name / "train-00000.parquet")
        wanted = sorted(one.subject for one in decided if (one.verdict is Verdict.KEEP) == kept)
        assert table["key"].to_pylist() == wanted
        assert table["reason"].to_pylist() == [reasons[key] for key in wanted]
        assert {tuple(tools) for tools in table["tools"].to_pylist()} == {tool_texts(TASK.tools)}
    assert {row.key for row in rows} == reasons.keys()


def peak_bytes(inputs):
    """Of Python and of Arrow, while all rows go by."""
    tracemalloc.start()
    most = 0
    for table in published_tables(inputs):
        for tables in table.splits.values():
            for _ in tables:
                most = max(most, pa.total_allocated_bytes())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak + most


def test_memory_does_not_grow_with_the_rows(tmp_path):
    num_chars = 20_000
    few = peak_bytes(released(tmp_path / "few", 2 * ROWS_PER_SHARD, num_chars)[2])
    many = peak_bytes(released(tmp_path / "many", 12 * ROWS_PER_SHARD, num_chars)[2])
    assert many < few + 2 * ROWS_PER_SHARD * num_chars
