"""Decontamination against a slow version on sets of words; MATH-500 inside the MATH test set."""

import gzip
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.curation.decontamination import DecontaminationRecipe, find_overlaps, index_items
from pipelines.curation.shingles import plain_words
from tests.recorded_data import DATA, needs_data

RECIPE = DecontaminationRecipe(ngram=4, shortest=2)
COLUMNS = ["key", "item", "shared_words", "row_share", "item_share", "covered_share"]
sentences = st.lists(st.sampled_from(["a", "B", "c", "…"]), max_size=9).map(" ".join)
items_strategy = st.lists(sentences.filter(plain_words), max_size=4)
rows_strategy = st.lists(st.tuples(st.sampled_from(["k1", "k2", "k3"]), sentences), max_size=6)


def index_of(items, recipe=RECIPE):
    names = pl.Series([f"i{n}" for n in range(len(items))], dtype=pl.String)
    return index_items(names, pl.Series(items, dtype=pl.String), recipe)


def overlaps(items, rows, recipe=RECIPE):
    keys, texts = (pl.Series([row[side] for row in rows], dtype=pl.String) for side in (0, 1))
    return find_overlaps(index_of(items, recipe), keys, texts)


def plain_overlaps(items, rows, recipe):
    """Word by word, run by run."""
    words_of, covered, inside = {}, {}, {}
    for at, (key, text) in enumerate(rows):
        row = plain_words(text)
        words_of[key] = words_of.get(key, 0) + len(row)
        for n, item in enumerate(map(plain_words, items)):
            size = min(len(item), recipe.ngram)
            whole_text_only = size < min(recipe.shortest, recipe.ngram)
            for p in range(len(row) - size + 1):
                for q in range(len(item) - size + 1):
                    if row[p : p + size] == item[q : q + size] and not (whole_text_only and len(row) != size):
                        covered.setdefault((key, n), set()).update((at, k) for k in range(p, p + size))
                        inside.setdefault((key, n), set()).update(range(q, q + size))
    table = []
    for key, n in sorted(covered):
        by_any = set().union(*(found for (other, _), found in covered.items() if other == key))
        shared = len(covered[key, n])
        shares = (shared / words_of[key], len(inside[key, n]) / len(plain_words(items[n])), len(by_any) / words_of[key])
        table.append((key, f"i{n}", shared, *shares))
    return table


@settings(deadline=None, max_examples=40)
@given(items_strategy, rows_strategy, st.integers(1, 5), st.integers(1, 4), st.randoms())
def test_overlaps_are_those_of_the_slow_version_in_any_order(items, rows, ngram, shortest, random):
    recipe = DecontaminationRecipe(ngram=ngram, shortest=shortest)
    table = overlaps(items, rows, recipe)
    assert table.columns == COLUMNS
    assert table.rows() == plain_overlaps(items, rows, recipe)
    assert overlaps(items, random.sample(rows, len(rows)), recipe).equals(table)


def test_one_line_says_how_much_of_what_is_where():
    table = overlaps(["One two, three four five!"], [("k", "Zero ONE two three four six"), ("clean", "one two")])
    assert table.rows() == [("k", "i0", 4, 4 / 6, 4 / 5, 4 / 6)]


def test_short_items_are_found_whole_and_very_short_ones_as_whole_texts():
    items = ["compute tan 60", "why"]
    rows = [("a", "Please compute: $\\tan 60$"), ("b", "compute tan 61"), ("c", "Why?"), ("d", "why not")]
    assert overlaps(items, rows)["key"].to_list() == ["a", "c"]


def test_equal_hashes_are_no_hit_where_words_differ():
    index = index_of(["one two three four"])
    forged = index.__class__(**{**vars(index), "words_I": [["one", "two", "three", "other"]]})
    keys, texts = pl.Series(["k"]), pl.Series(["one two three four"])
    assert len(find_overlaps(index, keys, texts)) == 1
    assert find_overlaps(forged, keys, texts).is_empty()


def test_items_have_words_and_names_of_their_own():
    with pytest.raises(ValueError, match="i1 has no words"):
        index_of(["a", "?!"])
    with pytest.raises(ValueError, match="i comes more than once"):
        index_items(pl.Series(["i", "i"]), pl.Series(["a", "b"]), RECIPE)


def lines(name):
    with gzip.open(DATA / "tasks" / f"{name}.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


@needs_data
def test_math500_is_found_inside_the_math_test_set_and_nothing_else():
    recipe, items, tasks = DecontaminationRecipe(), lines("math500"), lines("math_test")
    names, texts = (pl.Series([row[field] for row in items]) for field in ("unique_id", "problem"))
    keys = pl.Series([str(task["idx"]) for task in tasks])
    table = find_overlaps(index_items(names, texts, recipe), keys, pl.Series([task["problem"] for task in tasks]))
    dropped = table.filter(pl.col("item_share") == 1)
    inside = {str(task["idx"]) for task in tasks if task["in_math500"]}
    assert len(inside) == len(items)
    assert set(dropped["key"]) == inside
    assert dropped["item"].n_unique() == len(items)
    siblings = table.filter(~pl.col("key").is_in(inside))
    assert (siblings["item_share"] < 1).all()
    assert len(siblings) > 10


@needs_data
def test_trajectories_that_quote_an_item_are_found():
    items = lines("math500")
    short = [row["unique_id"] for row in items if len(plain_words(row["problem"])) < DecontaminationRecipe().shortest]
    index = index_items(
        pl.Series([row["unique_id"] for row in items]),
        pl.Series([row["problem"] for row in items]),
        DecontaminationRecipe(),
    )
    wrapped = pl.Series([f"Solve this with Python.\n\n{row['problem'].upper()}\nThink first." for row in items])
    keys = pl.Series([row["unique_id"] for row in items])
    found = find_overlaps(index, keys, wrapped).filter(pl.col("item_share") == 1)
    assert sorted(set(keys) - set(found["key"])) == sorted(short)
