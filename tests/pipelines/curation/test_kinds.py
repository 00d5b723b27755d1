"""Quotas by kind, semantic duplicates in the recipe, and embedders that a recipe names."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from model2vec import StaticModel
from pydantic import ValidationError
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from data_contracts.attempts import Outcome
from data_contracts.decisions import Reason
from pipelines.curation.kinds import kinds
from pipelines.curation.quotas import By, QuotaRecipe
from pipelines.curation.recipes import SftDataRecipe
from pipelines.curation.selection import cases, facts_of, select_sft
from pipelines.curation.semantic_duplicates import SemanticDuplicateRecipe
from pipelines.curation.texts import Aspect, TextsInMemory, text_of
from pipelines.curation.vectors import EmbedderKind, EmbedderRecipe, vectors_of
from tests.pipelines.curation.made import attempt

ROWS = [
    attempt(f"{domain}{n}", f"task{domain}{n // 2}", answer=f"{domain} says {n} of {n * 7}").model_copy(
        update={"domain": domain, "source": "web" if n % 2 else "book"}
    )
    for domain, number in (("algebra", 8), ("logic", 4), ("poetry", 1))
    for n in range(number)
]


def kept(recipe: SftDataRecipe, rows=ROWS) -> list[str]:
    return [row.key for row in select_sft(rows, recipe)[0]]


@pytest.mark.parametrize(
    ("quota", "counts"),
    [
        (QuotaRecipe(by=By.DOMAIN, max_rows=3), {"algebra": 3, "logic": 3, "poetry": 1}),
        (QuotaRecipe(by=By.DOMAIN, max_share=0.31), {"algebra": 4, "logic": 4, "poetry": 1}),
        (QuotaRecipe(by=By.DOMAIN, max_share=0.05), {"algebra": 1, "logic": 1, "poetry": 1}),
        (QuotaRecipe(by=By.TOOLS, max_rows=2), {"algebra": 2}),
        (QuotaRecipe(by=By.CLUSTER, clusters=1, max_rows=5), {"algebra": 5}),
    ],
)
def test_quotas_by_hand_in_any_order(quota, counts):
    recipe = SftDataRecipe(quotas=(quota,))
    found = kept(recipe)
    assert Counter(key[:-1] for key in found) == counts
    assert kept(recipe, ROWS[::-1]) == found
    gone = [d for d in select_sft(ROWS, recipe)[1] if d.reason is Reason.OVER_QUOTA]
    assert len(gone) + len(found) == len(ROWS)
    assert f'"by":"{quota.by.value}"' in gone[0].evidence


def test_of_a_kind_the_rows_of_most_merit_stay():
    worse = attempt("a", "t", statuses=("error", "ok"), answer="one")
    better = attempt("b", "t", statuses=("ok",), answer="two")
    assert kept(SftDataRecipe(quotas=(QuotaRecipe(by=By.DOMAIN, max_rows=1),)), [worse, better]) == ["b"]


def test_the_kinds_of_difficulty_are_the_policy_s_own():
    outcomes = {"hard": [1, 0, 0, 0], "medium": [1, 0], "easy": [1, 1]}
    rows = [
        attempt(f"{name}{n}", name, outcome=Outcome.CORRECT if right else Outcome.WRONG)
        for name, rights in outcomes.items()
        for n, right in enumerate(rights)
    ]
    rows.append(attempt("unlabelled0", "unlabelled", outcome=Outcome.UNLABELLED))
    known = list(cases(rows).values())
    facts = facts_of(known, [None] * len(known), SftDataRecipe())
    found = kinds(facts, np.arange(len(rows)), QuotaRecipe(by=By.DIFFICULTY, max_rows=1))
    names = facts.table["task_key"].to_list()
    assert set(zip(names, found, strict=True)) == {
        ("hard", "hard"),
        ("medium", "medium"),
        ("easy", "easy"),
        ("unlabelled", "unmeasured"),
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"by": "domain"},
        {"by": "domain", "max_rows": 1, "max_share": 0.5},
        {"by": "cluster", "max_rows": 1},
        {"by": "domain", "max_rows": 1, "clusters": 3},
        {"by": "domain", "max_rows": 1, "embedder": {"kind": "model2vec"}},
        {"by": "domain", "max_rows": 1, "embedder": {"revision": "main"}},
    ],
)
def test_a_quota_that_contradicts_itself_is_refused(fields):
    with pytest.raises(ValidationError):
        QuotaRecipe.model_validate(fields)


def saved_model(folder) -> str:
    """A real static model of a few words: two synonyms share a vector."""
    words = ["[UNK]", "car", "automobile", "red", "green", "the", "is"]
    tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    vectors = np.eye(8, dtype=np.float32)[[0, 1, 1, 2, 3, 4, 5]]
    StaticModel(vectors, tokenizer).save_pretrained(str(folder))
    return str(folder)


def test_a_model_finds_the_same_in_other_words(tmp_path):
    rows = [
        attempt(name, name, answer=answer)
        for name, answer in (("a", "the car is red"), ("b", "the automobile is red"), ("c", "the car is green"))
    ]
    model = EmbedderRecipe(kind=EmbedderKind.MODEL2VEC, model=saved_model(tmp_path / "model"))
    by_model = SemanticDuplicateRecipe(min_similarity=0.999, embedder=model, aspect=Aspect.TRANSCRIPT, seed=0)
    by_words = SemanticDuplicateRecipe(min_similarity=0.999, aspect=Aspect.TRANSCRIPT, seed=0)
    decisions = select_sft(rows, SftDataRecipe(semantic_duplicates=by_model))[1]
    assert [d.reason for d in decisions] == [Reason.PASSED, Reason.SEMANTIC_DUPLICATE, Reason.PASSED]
    assert '"of":"a"' in decisions[1].evidence
    assert kept(SftDataRecipe(semantic_duplicates=by_words), rows) == ["a", "b", "c"]


def test_no_rows_break_no_set_rule():
    recipe = SftDataRecipe(
        quotas=(QuotaRecipe(by=By.CLUSTER, clusters=4, max_rows=1),),
        semantic_duplicates=SemanticDuplicateRecipe(seed=0),
    )
    assert select_sft([], recipe) == ([], [])
    assert pl.Series(kept(recipe, ROWS[:1])).to_list() == [ROWS[0].key]


def test_a_sentence_transformer_of_a_folder_embeds_what_it_itself_would(tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "car", "red", "green"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "bert")
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(words), **shape)).save_pretrained(tmp_path / "bert")
    layers = [Transformer(str(tmp_path / "bert")), Pooling(16)]
    model = SentenceTransformer(modules=layers)
    model.save(str(tmp_path / "model"))
    recipe = EmbedderRecipe(kind=EmbedderKind.SENTENCE_TRANSFORMERS, model=str(tmp_path / "model"))
    rows = [attempt(name, name, answer=answer) for name, answer in (("a", "red car"), ("b", "green car"))]
    found = vectors_of(TextsInMemory(rows), np.arange(2), Aspect.TRANSCRIPT, recipe)
    plain = model.encode([text_of(row, Aspect.TRANSCRIPT) for row in rows], normalize_embeddings=True)
    np.testing.assert_allclose(found, plain, atol=1e-5)
