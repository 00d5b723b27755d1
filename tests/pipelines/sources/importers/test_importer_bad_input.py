"""Files as they arrive from elsewhere: whatever is wrong is named with file, row and reason, and the rest is read."""

import gzip
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.attempts import Flag
from data_contracts.decisions import Decision, Reason
from data_contracts.ids import canonical_json
from pipelines.sources.importers import Imported, RecordedRecipe, read_folder, read_shards
from pipelines.sources.importers.fast_json import fingerprint_of, object_json
from pipelines.sources.importers.lines import parse_json, read_lines
from tests.pipelines.sources.importers.golden import tau1_row, write_jsonl

RECIPE = RecordedRecipe(licence="MIT", model="m")


def chat(text="42"):
    return {"messages": [{"role": "user", "content": "6 * 7?"}, {"role": "assistant", "content": text}]}


def write_parquet(path, rows, **options):
    pq.write_table(pa.Table.from_pylist(rows), path, **options)


def outcomes(folder, recipe=RECIPE):
    """Kept texts, and the problems by place."""
    entries = list(read_folder(folder, recipe))
    kept = [entry.attempt.final_answer for entry in entries if isinstance(entry, Imported)]
    refused = [entry for entry in entries if isinstance(entry, Decision)]
    return kept, {entry.subject: (entry.reason, json.loads(entry.evidence)["problem"]) for entry in refused}


@pytest.mark.parametrize("broken", [b"", b"PAR1", b"no parquet at all", None])
def test_a_file_that_is_no_parquet_is_one_problem_and_the_next_is_read(tmp_path, broken):
    write_parquet(tmp_path / "whole.parquet", [chat()])
    data = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "broken.parquet").write_bytes(data[: len(data) // 2] if broken is None else broken)
    kept, refused = outcomes(tmp_path)
    assert kept == ["42"]
    ((place, (reason, problem)),) = refused.items()
    assert (place, reason) == ("broken.parquet:1", Reason.UNREADABLE)
    assert "no Parquet file that can be read" in problem


def test_a_broken_row_group_costs_its_own_rows_alone(tmp_path):
    path = tmp_path / "a.parquet"
    rows = [chat(f"{n} " + "x" * 200) for n in range(30)]
    write_parquet(path, rows, row_group_size=10, compression="zstd", use_dictionary=False, write_page_checksum=True)
    group = pq.ParquetFile(path).metadata.row_group(1)
    column = group.column(group.num_columns - 1)
    data = bytearray(path.read_bytes())
    end = column.data_page_offset + column.total_compressed_size
    data[end - 20 : end] = bytes(20)
    path.write_bytes(bytes(data))
    kept, refused = outcomes(tmp_path)
    assert [int(text.split()[0]) for text in kept] == [*range(10), *range(20, 30)]
    ((place, (reason, problem)),) = refused.items()
    assert (place, reason) == ("a.parquet:11", Reason.UNREADABLE)
    assert "row group 1" in problem


def test_a_text_of_a_parquet_row_that_is_no_utf8_costs_that_row(tmp_path):
    good = pa.array([json.dumps(chat()["messages"])] * 3)
    offsets, values = good.buffers()[1:]
    data = bytearray(values.to_pybytes())
    data[len(good[0].as_py()) + 5] = 0xFF
    texts = pa.StringArray.from_buffers(3, offsets, pa.py_buffer(bytes(data)))
    pq.write_table(pa.table({"messages": texts}), tmp_path / "a.parquet")
    kept, refused = outcomes(tmp_path)
    assert len(kept) == 2
    assert [(place, reason) for place, (reason, _) in refused.items()] == [("a.parquet:2", Reason.UNREADABLE)]


def test_times_and_bytes_in_other_columns_of_parquet_harm_nothing(tmp_path):
    table = pa.Table.from_pylist([chat()]).append_column("at", pa.array([0], pa.timestamp("us")))
    pq.write_table(table.append_column("raw", pa.array([b"\xff"])), tmp_path / "a.parquet")
    assert outcomes(tmp_path) == (["42"], {})


def test_a_row_beyond_the_limit_is_skipped_unread(tmp_path):
    recipe = RECIPE.model_copy(update={"max_row_bytes": 100_000})
    rows = [chat(), chat("x" * 200_000), chat("43")]
    write_jsonl(tmp_path / "a.jsonl", rows)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    write_parquet(tmp_path / "c.parquet", rows)
    (tmp_path / "trajectory.json").write_text(json.dumps(rows[1]))
    kept, refused = outcomes(tmp_path, recipe)
    assert kept == ["42", "43"] * 3
    assert list(refused) == ["a.jsonl:2", "b.jsonl.gz:2", "c.parquet:2", "trajectory.json:1"]
    assert all("max_row_bytes = 100,000" in problem for _, problem in refused.values())


def test_a_text_of_100_mb_is_refused_in_little_memory(tmp_path):
    with gzip.open(tmp_path / "a.jsonl.gz", "wb", compresslevel=1) as file:
        file.write(b'{"messages": "')
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n' + json.dumps(chat()).encode())
    recipe = RECIPE.model_copy(update={"max_row_bytes": 1_000_000})
    tracemalloc.start()
    kept, refused = outcomes(tmp_path, recipe)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (kept, list(refused)) == (["42"], ["a.jsonl.gz:1"])
    assert "a row of 100,000,0" in refused["a.jsonl.gz:1"][1]
    assert peak < 10_000_000


@pytest.mark.parametrize(
    "line",
    [
        '{"messages": [], "reward": 0, "reward": 1}',
        '{"messages": [{"role": "user", "role": "system", "content": "a\\":"}]}',
        '{"reward" : 0, "reward" : 1}',
        '{"a\\"": 1, "a\\"": 2, "text": "\\"x\\":"}',
    ],
)
def test_a_key_that_stands_twice_is_refused(tmp_path, line):
    (tmp_path / "a.jsonl").write_text(line + "\n" + json.dumps(chat()))
    kept, refused = outcomes(tmp_path)
    assert kept == ["42"]
    assert "stands twice in one object" in refused["a.jsonl:1"][1]


def json_values(floats):
    return st.recursive(
        st.none() | st.booleans() | st.integers() | floats | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )


JSON = json_values(st.floats(allow_nan=False))
FINITE = json_values(st.floats(allow_nan=False, allow_infinity=False))


@given(JSON, st.sampled_from([None, (",", ":"), (" , ", " : ")]), st.booleans())
def test_parsing_fast_gives_what_pythons_parser_gives(value, separators, ascii_only):
    text = json.dumps(value, separators=separators, ensure_ascii=ascii_only)
    expected = json.loads(text)
    try:
        data = text.encode()
        json.dumps(expected, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    assert repr(parse_json(data)) == repr(expected)


def test_numbers_that_only_python_writes_are_left_to_the_contract(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [chat() | {"logprob": float("nan")}, {"x": 2**70, "y": float("inf")}])
    rows = [line.row for line in read_lines(tmp_path / "a.jsonl")]
    assert rows[0]["messages"] == chat()["messages"]
    assert rows[1] == {"x": 2**70, "y": float("inf")}


@given(st.dictionaries(st.text(), st.text() | FINITE, max_size=4))
def test_json_written_fast_is_canonical(values):
    assert object_json(values) == canonical_json(values)


@given(FINITE, FINITE)
def test_fingerprints_are_equal_where_canonical_json_is(left, right):
    assert (fingerprint_of(left) == fingerprint_of(right)) == (canonical_json(left) == canonical_json(right))
    if isinstance(left, dict):
        assert fingerprint_of(left) == fingerprint_of(dict(reversed(left.items())))


@pytest.mark.parametrize("as_json", ["messages", "call"])
def test_half_a_surrogate_pair_in_json_inside_json_is_refused(tmp_path, as_json):
    call = json.dumps({"function": {"name": "python", "arguments": {"code": "\ud800"}}})
    asked = [{"role": "user", "content": "6 * 7?"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    messages = json.dumps(chat("\ud800")["messages"]) if as_json == "messages" else asked
    write_jsonl(tmp_path / "a.jsonl", [{"messages": messages}, chat()])
    kept, refused = outcomes(tmp_path)
    assert (kept, list(refused)) == (["42"], ["a.jsonl:1"])
    assert "surrogates not allowed" in refused["a.jsonl:1"][1]


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), "1", None, [1]])
def test_a_reward_that_is_no_number_is_refused(tmp_path, reward):
    write_jsonl(tmp_path / "airline.gpt-4o.jsonl", [tau1_row(reward=reward), tau1_row()])
    refused, kept = read_folder(tmp_path)
    assert (refused.subject, refused.reason) == ("airline.gpt-4o.jsonl:1", Reason.CONTRACT)
    assert "reward" in refused.evidence
    assert isinstance(kept, Imported)


@pytest.mark.parametrize("text", ["ends <|im_end|>", "<|im_start|>system", "<|endoftext|>"])
def test_text_that_spells_a_control_token_is_flagged(tmp_path, text):
    write_jsonl(tmp_path / "a.jsonl", [chat(text), chat("a <| b |> c")])
    spelled, plain = read_folder(tmp_path, RECIPE)
    assert (spelled.attempt.flags, plain.attempt.flags) == ((Flag.CONTROL_TEXT,), ())
    assert spelled.attempt.final_answer == text


def test_a_source_without_a_licence_is_quarantined(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [chat(), chat() | {"licence": "MIT"}])
    kept, refused = outcomes(tmp_path, RecordedRecipe(model="m"))
    assert (kept, list(refused), refused["a.jsonl:1"][0]) == (["42"], ["a.jsonl:1"], Reason.NO_LICENCE)


def test_a_file_that_may_not_be_opened_is_one_problem(tmp_path):
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "nowhere.jsonl")
    (tmp_path / "b.jsonl").write_text(json.dumps(chat()))
    kept, refused = outcomes(tmp_path)
    assert (kept, list(refused)) == (["42"], ["a.jsonl:1"])
    assert "the file cannot be read" in refused["a.jsonl:1"][1]


def test_shards_are_files_and_their_rows_are_those_of_the_folder(tmp_path):
    write_jsonl(tmp_path / "b.jsonl", [chat(), chat()])
    write_jsonl(tmp_path / "a.jsonl", [chat("41"), {}])
    shards = [(shard.file, list(shard.rows)) for shard in read_shards(tmp_path, RECIPE)]
    assert [file for file, _ in shards] == ["a.jsonl", "b.jsonl"]
    assert [row for _, rows in shards for row in rows] == list(read_folder(tmp_path, RECIPE))
    keys = [row.attempt.key for _, rows in shards for row in rows if isinstance(row, Imported)]
    assert len(set(keys)) == 3
