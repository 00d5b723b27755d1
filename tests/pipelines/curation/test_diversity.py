"""Vendi score against closed forms and the primal; coverage; embeddings against a plain version; behaviour as text."""

import math
import sys
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.attempts import CallRecord, CallStatus, Turn
from data_contracts.ids import canonical_json
from pipelines.curation.diversity import Coverage, call_sequence, code_shape, coverage, vendi_score
from pipelines.curation.embeddings import Model2VecEmbedder, SentenceTransformerEmbedder, unit_rows
from pipelines.curation.hashing_vectoriser import HashingVectoriser
from pipelines.curation.shingles import plain_words
from tests.pipelines.curation.made import attempt


@pytest.mark.parametrize("num_rows", [1, 3, 10])
def test_vendi_score_of_equal_and_of_orthogonal_rows(num_rows):
    assert vendi_score(unit_rows(np.ones((num_rows, 4)))) == pytest.approx(1)
    assert vendi_score(unit_rows(np.eye(10)[:num_rows])) == pytest.approx(num_rows)


def test_vendi_score_of_groups_is_the_exponential_of_their_entropy():
    rows = unit_rows(np.eye(3)[[0, 0, 0, 0, 1, 1, 2]])
    entropy = -sum(n / 7 * math.log(n / 7) for n in (4, 2, 1))
    assert vendi_score(rows) == pytest.approx(math.exp(entropy))


@pytest.mark.parametrize(("num_rows", "num_dimensions"), [(30, 5), (5, 30)])
def test_vendi_score_is_that_of_the_primal_form(num_rows, num_dimensions):
    rows = unit_rows(np.random.default_rng(0).normal(size=(num_rows, num_dimensions)))
    values = np.linalg.eigvalsh(rows.astype(float) @ rows.T.astype(float) / num_rows)
    values = values[values > 1e-12]
    assert vendi_score(rows) == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-4)


@pytest.mark.parametrize("rows", [np.zeros((0, 3)), np.zeros((2, 3)), 2 * np.eye(3)])
def test_vendi_score_wants_rows_of_norm_one(rows):
    with pytest.raises(ValueError, match="norm one"):
        vendi_score(rows)


def test_coverage_of_known_points():
    whole = unit_rows(np.array([[1, 0], [0, 1], [-1, 0]]))
    assert coverage(whole, whole[:2], radius=1.0) == Coverage(
        pytest.approx(math.sqrt(2) / 3), pytest.approx(math.sqrt(2)), 2 / 3
    )
    assert coverage(whole, whole, radius=0.0) == Coverage(0.0, 0.0, 1.0)
    for empty in ((whole, whole[:0]), (whole[:0], whole)):
        with pytest.raises(ValueError, match="at least one"):
            coverage(*empty, radius=1.0)


WORDS_ONLY = HashingVectoriser(num_dimensions=1 << 15)
texts_lists = st.lists(st.lists(st.sampled_from("abcd"), max_size=6).map(" ".join), min_size=1, max_size=5)


def plain_features(text, idf):
    units = plain_words(text)
    pairs = [tuple(units[k : k + 2]) for k in range(len(units) - 1)] or ([("only", units[0])] if units else [])
    counts = Counter([*((u,) for u in units), *pairs])
    return {feature: (1 + math.log(count)) * idf(feature) for feature, count in counts.items()}


def plain_similarities(texts, with_idf):
    seen = Counter(feature for text in texts for feature in plain_features(text, lambda _: 1.0))
    weigh = (lambda f: math.log((1 + len(texts)) / (1 + seen[f])) + 1) if with_idf else (lambda _: 1.0)
    rows = [plain_features(text, weigh) for text in texts]
    norms = [math.sqrt(sum(v * v for v in row.values())) or 1.0 for row in rows]
    dot = [[sum(v * b.get(f, 0.0) for f, v in a.items()) for b in rows] for a in rows]
    return np.array(dot) / np.outer(norms, norms)


@settings(deadline=None, max_examples=25)
@given(texts_lists, st.booleans())
def test_hashed_similarities_are_those_of_the_plain_features(texts, with_idf):
    column = pl.Series(texts)
    vectoriser = WORDS_ONLY.fitted(column) if with_idf else WORDS_ONLY
    rows = vectoriser.embed(column)
    assert rows.dtype == np.float32
    assert rows @ rows.T == pytest.approx(plain_similarities(texts, with_idf), abs=1e-4)


def test_a_vector_depends_on_its_text_alone_and_has_norm_one_or_zero():
    texts = pl.Series(["one two", None, "…", "two three three"])
    rows = HashingVectoriser(character_sizes=(3,)).embed(texts)
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 0, 1, 1])
    for n, text in enumerate(texts):
        assert np.array_equal(
            HashingVectoriser(character_sizes=(3,)).embed(pl.Series([text], dtype=pl.String))[0], rows[n]
        )


def test_characters_see_what_words_share():
    texts = pl.Series(["calculating", "calculation", "zebra"])
    by_words, by_characters = HashingVectoriser(), HashingVectoriser(word_sizes=(), character_sizes=(3,))
    assert abs((by_words.embed(texts) @ by_words.embed(texts).T)[0, 1]) < 0.3
    alike = by_characters.embed(texts) @ by_characters.embed(texts).T
    assert alike[0, 1] > 0.6 > 0.3 > alike[0, 2]


def test_names_tell_options_and_corpora_apart():
    texts = pl.Series(["a b", "b c"])
    made = [
        HashingVectoriser(),
        HashingVectoriser(512),
        HashingVectoriser(word_sizes=(1,)),
        HashingVectoriser().fitted(texts),
    ]
    assert len({vectoriser.name for vectoriser in made}) == 4
    assert made[3].name == HashingVectoriser().fitted(texts.reverse()).name


@pytest.mark.parametrize(
    ("package", "embedder"),
    [("model2vec", Model2VecEmbedder("m")), ("sentence_transformers", SentenceTransformerEmbedder("m", None))],
)
def test_a_missing_extra_says_how_to_get_it(monkeypatch, package, embedder):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed, where it is
    with pytest.raises(ValueError, match=f"pip install {package.replace('_', '-')}"):
        embedder.embed(pl.Series(["a"]))


def test_vectors_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="vector 1 is not finite"):
        unit_rows(np.array([[1.0, 0.0], [np.nan, 0.0]]))


def calling(*calls):
    """An attempt whose calls have these names, statuses and arguments."""
    records = [CallRecord(id=str(n), name=c[0], status=c[1], arguments=c[2], result="") for n, c in enumerate(calls)]
    return attempt("a").model_copy(update={"turns": tuple(Turn(text="", calls=(record,)) for record in records)})


def test_behaviour_is_the_run_of_calls_and_how_they_ended():
    run = calling(
        ("get_user", CallStatus.OK, "{}"), (None, CallStatus.MALFORMED, "x"), ("f-2", CallStatus.INVALID_ARGUMENTS, "")
    )
    assert call_sequence(run) == "getuserok malformedmalformed f2invalidarguments"
    assert call_sequence(calling()) == "nocall"


def python(code):
    return ("python", CallStatus.OK, canonical_json({"code": code}))


def test_code_shape_sees_structure_and_not_names():
    assert code_shape(calling(python("x = 1"))) == "assign name constant"
    assert code_shape(calling(python("total = 22"))) == code_shape(calling(python("x = 1")))
    assert code_shape(calling(python("f(x)"), python("("))) == "expr call name name unparsed"
    assert code_shape(calling(python("\0"), python("-" * 100_000 + "1"))) == "unparsed unparsed"
    assert code_shape(calling(("get", CallStatus.OK, '{"id": 1}'), ("get", CallStatus.MALFORMED, "nonsense"))) == ""
    assert code_shape(calling(("get", CallStatus.OK, "[1]"), ("get", CallStatus.OK, '{"code": 1}'))) == ""


def test_code_is_never_run(tmp_path):
    mark = tmp_path / "mark"
    code_shape(calling(python(f"open({str(mark)!r}, 'w').close()")))
    assert not mark.exists()
