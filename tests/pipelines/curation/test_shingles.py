"""Words, characters and n-grams as hashes: against plain strings."""

from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.curation.shingles import MAX_CHUNKS, batches, characters, ngrams, plain_words, words

TEXTS = [
    "Ünï “quoted” x−1 ≤ 3²",
    "",
    "中文。字",
    "a b",
    "A_B  \\frac{2}{x}",
    "x" * 70,
    "x" * 64,
    "x" * 71,
    "…",
    "½",
    "\0a\n",
]
characters_of_interest = st.sampled_from("aB1 _-$\n\0é“…中。²≤×ʼ😀")
texts_lists = st.lists(st.text(characters_of_interest, max_size=30), max_size=6)


def pieces(units):
    """Hashes text by text."""
    bounds = units.offsets_B.tolist()
    return [tuple(units.hashes_T[a:b].tolist()) for a, b in pairwise(bounds)]


def same_partition(hashed, plain):
    """Equal hashes exactly where the plain things are equal, in the same places."""
    pairs = [(h, p) for hs, ps in zip(hashed, plain, strict=True) for h, p in zip(hs, ps, strict=True)]
    return len(set(pairs)) == len({h for h, _ in pairs}) == len({p for _, p in pairs})


def plain_ngrams(units, n):
    whole = [tuple(units[k : k + n]) for k in range(len(units) - n + 1)]
    return whole or ([tuple(units)] if units else [])


@settings(deadline=None)
@given(texts_lists)
def test_words_are_those_of_the_plain_version(texts):
    assert same_partition(pieces(words(pl.Series(texts, dtype=pl.String))), [plain_words(text) for text in texts])


def test_words_of_known_texts():
    assert [plain_words(text) for text in TEXTS[:5]] == [
        ["Ünï", "quoted", "x", "1", "3"],
        [],
        ["中文", "字"],
        ["a", "b"],
        ["a", "b", "frac", "2", "x"],
    ]
    assert same_partition(pieces(words(pl.Series(TEXTS))), [plain_words(text) for text in TEXTS])


def test_words_of_any_length_are_told_apart():
    long = ["x" * size + end for size in range(1, 8 * MAX_CHUNKS + 40) for end in ("", "y")]
    assert len(set(words(pl.Series(long)).hashes_T.tolist())) == len(long)
    assert same_partition(pieces(words(pl.Series([" ".join(long)]))), [long])


def test_a_word_has_one_hash_wherever_it_stands():
    apart, together = words(pl.Series(["one", None, "two"])), words(pl.Series(["TWO, (one)"]))
    assert apart.hashes_T.tolist() == together.hashes_T.tolist()[::-1]
    assert apart.lengths_B.tolist() == [1, 0, 1]
    assert apart.rows_T.tolist() == [0, 2]


@settings(deadline=None)
@given(texts_lists, st.integers(1, 6))
def test_ngrams_are_those_of_the_plain_version(texts, n):
    found = ngrams(words(pl.Series(texts, dtype=pl.String)), n)
    assert same_partition(pieces(found), [plain_ngrams(plain_words(text), n) for text in texts])


@settings(deadline=None)
@given(texts_lists, st.integers(1, 6))
def test_character_ngrams_are_those_of_the_plain_version(texts, n):
    found = ngrams(characters(pl.Series(texts, dtype=pl.String)), n)
    lower = pl.Series(texts, dtype=pl.String).str.to_lowercase().to_list()
    plain = ["".join(" " if c.isspace() else c for c in text) for text in lower]
    plain = [" ".join(filter(None, text.split(" "))) for text in plain]
    assert same_partition(pieces(found), [plain_ngrams(list(text), n) for text in plain])


def test_there_are_no_ngrams_of_nothing():
    with pytest.raises(ValueError, match="n >= 1"):
        ngrams(words(pl.Series(["a"])), 0)


@settings(deadline=None)
@given(st.lists(st.text(max_size=9) | st.none(), max_size=12), st.integers(1, 20))
def test_batches_are_the_texts_in_order_and_within_the_limit(texts, limit):
    parts = [part.to_list() for part in batches(pl.Series(texts, dtype=pl.String), limit)]
    assert [text for part in parts for text in part] == texts
    assert all(len(part) == 1 or sum(len((text or "").encode()) for text in part) <= limit for part in parts)
    assert all(parts)


def test_cut_into_batches_the_words_are_the_same():
    whole = words(pl.Series(TEXTS))
    parts = [words(part) for part in batches(pl.Series(TEXTS), 10)]
    assert [piece for part in parts for piece in pieces(part)] == pieces(whole)
