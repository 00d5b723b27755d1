"""What each reader finds in the files: read back with the reader's own library, and compared with what went in."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from data_contracts.messages import Role
from data_contracts.storage import to_table
from data_contracts.token_rows import TokenRow
from pipelines.publishing.exports import Export
from pipelines.publishing.exports.conversation import conversations
from pipelines.publishing.exports.prime_sft import prime_sft
from pipelines.publishing.exports.tokens import tokens
from pipelines.publishing.exports.trl_grpo import trl_grpo
from pipelines.publishing.exports.trl_sft import trl_sft
from pipelines.publishing.exports.verifiers_rl import verifiers_rl
from pipelines.publishing.exports.verl_rl import verl_rl
from pipelines.publishing.exports.verl_sft import BROKEN as DIFFERENT
from pipelines.publishing.exports.verl_sft import verl_sft
from pipelines.publishing.exports.writing import write_export
from tests.pipelines.exports.made import (
    ATTEMPTS,
    BOTH,
    BROKEN,
    FLOAT,
    GAP,
    NO_CALL,
    PLAIN,
    TASKS,
    TOOLS,
    USER,
    arguments,
)
from tests.trainer.packs import random_rows

KEPT = {row.key: row for row in (PLAIN, BOTH, NO_CALL, USER, GAP, FLOAT)}


@pytest.fixture
def read(tmp_path):
    """Writes an export and reads it as `datasets` does."""

    def rows(export: Export) -> list[dict]:
        write_export(tmp_path / "out", export, {})
        files = sorted(map(str, (tmp_path / "out").glob("*.parquet")))
        return list(load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")))

    return rows


def test_what_no_template_can_write_is_left_out_with_a_reason():
    found, left_out = conversations(ATTEMPTS, TOOLS)
    assert {c.attempt.key for c in found} == set(KEPT)
    assert set(left_out) == BROKEN
    assert left_out["f-nameless"] == "call_1: no tool's name, or arguments that are no JSON object"


def test_the_order_of_rows_is_that_of_their_keys_however_they_came():
    there, back = (trl_sft(conversations(rows, TOOLS)[0]).tables["train"] for rows in (ATTEMPTS, ATTEMPTS[::-1]))
    assert there.equals(back)
    assert there["key"].to_pylist() == sorted(KEPT)


def test_trl_reads_texts_as_texts_and_arguments_as_objects(read):
    for row in read(trl_sft(conversations(ATTEMPTS, TOOLS)[0])):
        source = KEPT[row["key"]]
        calls = [call for message in row["messages"] for call in message["tool_calls"] or []]
        assert [call["function"]["arguments"] for call in calls] == arguments(source)
        assert all(isinstance(message["content"], str) for message in row["messages"])
        assert row["messages"][-1]["content"] == "42"
        assert row["tools"] == [tool.to_openai() for tool in TOOLS[source.task_key]]
        assert "secret" not in str(row)


def test_prime_rl_reads_json_texts_and_no_extension_types(read):
    table = prime_sft(conversations(ATTEMPTS, TOOLS)[0]).tables["train"]
    assert "json" not in str(table.schema)
    for row in read(Export({"train": table})):
        source = KEPT[row["key"]]
        calls = [call for message in row["messages"] for call in message["tool_calls"] or []]
        assert [json.loads(call["function"]["arguments"]) for call in calls] == arguments(source)
        assert json.loads(row["tools"]) == [tool.to_openai() for tool in TOOLS[source.task_key]]


def as_verl_reads(files: list[Path]) -> list[dict]:
    """pandas with Arrow types, files joined, arrays as lists: what MultiTurnSFTDataset does (verl 0.9)."""
    import numpy as np
    import pandas as pd

    def plain(value):
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items()}
        if isinstance(value, np.ndarray):
            return plain(value.tolist())
        return [plain(item) for item in value] if isinstance(value, list) else value

    frame = pd.concat([pd.read_parquet(file, dtype_backend="pyarrow") for file in files])
    return [plain(frame.iloc[i].to_dict()) for i in range(len(frame))]


def test_verl_gets_structs_without_fields_that_nobody_wrote(tmp_path):
    found, _ = conversations(ATTEMPTS, TOOLS)
    export = verl_sft(found)
    changed = {BOTH.key, GAP.key, FLOAT.key}
    assert export.left_out == dict.fromkeys(changed, DIFFERENT)
    write_export(tmp_path / "out", export, {})
    rows = as_verl_reads(sorted((tmp_path / "out").glob("*.parquet")))
    assert {row["key"] for row in rows} == set(KEPT) - changed
    for row in rows:
        source = KEPT[row["key"]]
        calls = [call for message in row["messages"] for call in message.get("tool_calls") or []]
        assert json.dumps([call["function"]["arguments"] for call in calls]) == json.dumps(arguments(source))
        assert row["tools"] == [tool.to_openai() for tool in TOOLS[source.task_key]]


def test_verl_s_rl_reader_finds_every_field_that_it_indexes(read):
    export = verl_rl(TASKS)
    rows = read(export)
    assert len(rows) == 3
    assert list(export.left_out.values()) == ["it has no verifier: nothing could be rewarded"]
    by_answer = {row["reward_model"]["ground_truth"]: row for row in rows}
    assert set(by_answer) == {"42", "007", "1/2"}
    for row in rows:
        assert [message["role"] for message in row["prompt"]] == ["system", "user"]
        assert row["reward_model"]["style"] == "rule"
        assert (row["data_source"], row["ability"]) == ("made", "sums")
        for tool in row["extra_info"]["tools_kwargs"].values():  # none is null: verl calls .get on it
            assert tool["create_kwargs"] == {"ground_truth": row["reward_model"]["ground_truth"]}
    selected = {answer: row["extra_info"]["tool_selection"] for answer, row in by_answer.items()}
    assert selected == {"42": ["python"], "007": ["lookup", "python"], "1/2": []}
    assert {answer: row["agent_name"] for answer, row in by_answer.items()} == {
        "42": "tool_agent",
        "007": "tool_agent",
        "1/2": "single_turn_agent",
    }
    assert [row["extra_info"]["index"] for row in rows] == [0, 1, 2]


def test_verifiers_reads_question_answer_and_info(read):
    for row in read(verifiers_rl(TASKS)):
        assert row["question"] == row["prompt"][-1]["content"]
        assert row["answer"] in ("42", "007", "1/2")
        assert json.loads(row["info"])["verifier"] == "math"


def test_grpo_gives_reward_functions_the_answer_by_name(read):
    rows = read(trl_grpo(TASKS))
    assert {row["answer"] for row in rows} == {"42", "007", "1/2"}
    assert all(row["prompt"][0] == {"role": Role.SYSTEM.value, "content": "Be brief."} for row in rows)


def test_ids_and_labels_are_those_of_the_token_rows(read):
    source = random_rows(9, seed=3)
    table = to_table(source[::-1], TokenRow)
    parts = pa.concat_tables([table.slice(0, 4), table.slice(4)])  # a slice has offsets that do not begin at 0
    for row, original in zip(read(tokens(parts)), source, strict=True):
        assert row["key"] == original.key
        assert tuple(row["input_ids"]) == original.tokens_T
        assert tuple(label != -100 for label in row["labels"]) == original.trained_T
        assert all(label in (-100, token) for label, token in zip(row["labels"], row["input_ids"], strict=True))


def test_a_folder_says_what_it_holds_and_is_never_written_twice(tmp_path):
    export = verl_sft(conversations(ATTEMPTS, TOOLS)[0])
    write_export(tmp_path / "out", export, {"version": "abc"})
    told = json.loads((tmp_path / "out" / "export.json").read_text())
    assert told["version"] == "abc"
    assert sum(told["rows"].values()) == export.num_rows == 3
    assert told["left_out"] == {DIFFERENT: 3}
    assert (tmp_path / "out" / "left_out.csv").read_text().splitlines()[1].startswith("c-both,")
    assert all(pq.read_metadata(tmp_path / "out" / name).num_rows == rows for name, rows in told["rows"].items())
    with pytest.raises(ValueError, match="is there already"):
        write_export(tmp_path / "out", export, {})
