"""Semantic duplicates against all pairs, and evaluation items in other words."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.curation.embeddings import unit_rows
from pipelines.curation.hashing_vectoriser import HashingVectoriser
from pipelines.curation.neighbours import distances, nearest
from pipelines.curation.semantic_duplicates import find_semantic_duplicates


def groups(table):
    return {frozenset(keys) for keys in table.group_by("representative").agg("key")["key"]}


def plain_groups(keys, rows, clusters, min_similarity):
    """Rows joined one pair after the other."""
    found = [{key} for key in keys]
    for a, key in enumerate(keys):
        for b, other in enumerate(keys):
            if clusters[a] == clusters[b] and float(rows[a].astype(float) @ rows[b]) >= min_similarity:
                joined = [group for group in found if key in group or other in group]
                found = [group for group in found if group not in joined] + [set().union(*joined)]
    return {frozenset(group) for group in found}


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 15), st.integers(0, 99), st.randoms())
def test_groups_are_those_of_all_pairs_in_any_order(num_rows, seed, random):
    rng = np.random.default_rng(seed)
    keys = [f"k{n:02}" for n in range(num_rows)]
    rows, clusters = unit_rows(rng.normal(size=(num_rows, 3))), rng.integers(0, 2, num_rows)
    quality = pl.Series(rng.integers(0, 2, num_rows))
    table = find_semantic_duplicates(pl.Series(keys), rows, clusters, 0.7, quality)
    assert groups(table) == plain_groups(keys, rows, clusters, 0.7)
    best = {key: min(group, key=lambda k: (-quality[int(k[1:])], k)) for group in groups(table) for key in group}
    assert dict(table.select("key", "representative").rows()) == best
    order = np.array(random.sample(range(num_rows), num_rows))
    shuffled = find_semantic_duplicates(
        pl.Series(keys).gather(order), rows[order], clusters[order], 0.7, quality.gather(order)
    )
    assert shuffled.equals(table)


def test_similarity_is_that_to_the_representative_and_empty_rows_stay_alone():
    rows = unit_rows(np.array([[4, 3], [1, 0], [0, 0], [0, 0]]))
    table = find_semantic_duplicates(pl.Series(list("badc")), rows, np.zeros(4, np.int64), 0.75)
    assert table["representative"].to_list() == ["a", "a", "c", "d"]
    assert table["similarity"].to_list() == [None, pytest.approx(0.8), None, None]


def test_nearest_is_that_of_all_pairs_and_the_first_of_equals():
    rng = np.random.default_rng(0)
    rows, among = unit_rows(rng.normal(size=(50, 4))), unit_rows(rng.normal(size=(9, 4)))
    among = np.concatenate([among, among])
    indices, similarities = nearest(rows, among)
    for n, row in enumerate(rows):
        apart = [float(np.linalg.norm(row.astype(float) - other)) for other in among[:9]]
        assert (indices[n], distances(similarities)[n]) == (int(np.argmin(apart)), pytest.approx(min(apart), abs=1e-6))


def test_an_evaluation_item_in_a_new_order_of_words_is_near_though_no_ngram_is_shared():
    items = pl.Series(["How many positive divisors does 196 have?", "Find the area of a circle of radius 3."])
    row = pl.Series(["196 has how many divisors, positive ones?"])
    embedder = HashingVectoriser(num_dimensions=4096, word_sizes=(1,))
    indices, similarities = nearest(embedder.embed(row), embedder.embed(items))
    assert indices.tolist() == [0]
    assert similarities[0] == pytest.approx(5 / 7, abs=0.03)
