"""Folders with anything in them: every row is accounted for, and nothing stops the walk."""

import gzip
import json
import zlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.decisions import Decision, Reason
from pipelines.sources.importers import Imported, read_folder
from tests.pipelines.sources.importers.golden import mathcoder_row, tau1_row, verifiers_row, write_jsonl

GOOD = json.dumps(tau1_row()).encode()


def reasons(folder):
    return {
        entry.subject: (entry.reason, json.loads(entry.evidence)["problem"])
        for entry in read_folder(folder)
        if isinstance(entry, Decision)
    }


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (b"{", "not JSON"),
        (b"[1, 2]", "a JSON list"),
        (b"42", "a JSON int"),
        (b'"\xff\xfe"', "not UTF-8"),
        (b"\x00\x01\x02\x80", "not UTF-8"),
        (b'{"task_id": "\\ud800"}', "surrogate"),
        (b"[" * 100_000, "beyond"),
        (b'{"n": ' + b"1" * 5000 + b"}", "beyond"),
    ],
)
def test_a_bad_line_is_quarantined_and_the_rest_is_read(tmp_path, bad, problem):
    (tmp_path / "airline.gpt-4o.jsonl").write_bytes(GOOD + b"\n" + bad + b"\n\n" + GOOD)
    entries = list(read_folder(tmp_path))
    assert [isinstance(entry, Imported) for entry in entries] == [True, False, True]
    ((subject, (reason, said)),) = reasons(tmp_path).items()
    assert (subject, reason) == ("airline.gpt-4o.jsonl:2", Reason.UNREADABLE)
    assert problem in said
    assert entries[2].attempt.source_ref == "airline.gpt-4o.jsonl:4"


@pytest.mark.parametrize("broken", ["truncated", "corrupt", "no_gzip"])
def test_a_compressed_file_that_breaks_off_ends_with_a_decision(tmp_path, broken):
    lines = b"\n".join(json.dumps(tau1_row(trial=n, noise=Random(n).random())).encode() for n in range(300))
    data = gzip.compress(lines)
    data = {"truncated": data[: len(data) // 2], "corrupt": data[:-8] + b"\x00" * 8, "no_gzip": b"plain text"}[broken]
    (tmp_path / "airline.gpt-4o.jsonl.gz").write_bytes(data)
    write_jsonl(tmp_path / "retail.gpt-4o.jsonl", [tau1_row()])
    *before, last_of_broken, intact = read_folder(tmp_path)
    left = b"" if broken == "no_gzip" else zlib.decompressobj(wbits=-15).decompress(data[10:])
    assert len(before) in (left.count(b"\n"), left.count(b"\n") + 1)
    assert all(isinstance(row, Imported) for row in [*before, intact])
    assert last_of_broken.reason is Reason.UNREADABLE
    assert "breaks off" in last_of_broken.evidence


def test_the_importer_is_named_by_a_folder_or_recognises_the_row(tmp_path):
    write_jsonl(tmp_path / "any/airline.gpt-4o.jsonl", [tau1_row(), verifiers_row(), mathcoder_row()])
    assert [entry.attempt.source for entry in read_folder(tmp_path)] == ["tau1", "verifiers", "mathcoder"]


def test_a_folder_that_names_another_source_wins_over_the_looks_of_a_row(tmp_path):
    write_jsonl(tmp_path / "mathcoder/airline.gpt-4o.jsonl", [tau1_row()])
    (decision,) = read_folder(tmp_path)
    assert (decision.reason, decision.source) == (Reason.CONTRACT, "mathcoder")


def test_a_row_that_nobody_knows_is_quarantined_with_its_keys(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"zebra": 1}])
    assert reasons(tmp_path) == {"a.jsonl:1": (Reason.CONTRACT, "no importer knows a row with the keys zebra")}


@pytest.mark.parametrize("depth", [400, 700, 900])
def test_rows_nested_deeply_stop_nothing(tmp_path, depth):
    nested = '{"a":' * depth + "1" + "}" * depth
    tool = {"type": "function", "function": {"name": "t", "parameters": "NESTED"}}
    line = json.dumps(verifiers_row(info={"oai_tools": [tool]})).replace('"NESTED"', nested)
    (tmp_path / "m.jsonl").write_text(line + "\n" + json.dumps(verifiers_row()))
    deep, plain = read_folder(tmp_path)
    assert isinstance(plain, Imported)
    assert isinstance(deep, Imported) or deep.subject == "m.jsonl:1"


def test_folders_without_logs_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no folder"):
        list(read_folder(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="holds no"):
        list(read_folder(tmp_path))


def test_reading_twice_gives_the_same_keys_and_other_files_change_none(tmp_path):
    write_jsonl(tmp_path / "b/mathcoder/m.jsonl", [mathcoder_row("20230918-2042"), mathcoder_row("20230919-0018")])
    keys = [entry.attempt.key for entry in read_folder(tmp_path)]
    write_jsonl(tmp_path / "a/airline.gpt-4o.jsonl", [tau1_row()])
    write_jsonl(tmp_path / "a/mathcoder/m.jsonl", [mathcoder_row("20230917-0000", last="7")])
    assert [entry.attempt.key for entry in read_folder(tmp_path)][-2:] == keys


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ROWS = st.sampled_from([tau1_row(), verifiers_row(), mathcoder_row()])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(ROWS, st.data()), min_size=1, max_size=3), st.binary(max_size=40))
def test_whatever_stands_in_a_field_every_line_comes_out_once(tmp_path_factory, rows, noise):
    folder = tmp_path_factory.mktemp("logs")
    lines = []
    for row, data in rows:
        key = data.draw(st.sampled_from(sorted(row)))
        lines.append(json.dumps(row | {key: data.draw(JSON)}).encode())
    lines.append(noise.replace(b"\n", b" ").replace(b"\r", b" "))
    (folder / "airline.gpt-4o.jsonl").write_bytes(b"\n".join(lines))
    num_rows = sum(bool(line.strip()) for line in lines)
    assert len(list(read_folder(folder))) == num_rows
