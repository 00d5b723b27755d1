"""Texts as vectors: the protocol that curation asks for, and adapters for models that come as extras."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.curation.arrays import Vectors


class Embedder(Protocol):
    """Turns texts into vectors whose dot product is a similarity."""

    @property
    def name(self) -> str:
        """What the vectors were made by, options included: vectors of different names cannot be compared."""

    def embed(self, texts: pl.Series) -> Vectors:
        """(N, D) float32; each row of norm one, or zero where a text has nothing to say."""


def unit_rows(values_ND: NDArray[np.floating[Any]]) -> Vectors:
    """Rows divided by their norms, in float32; a row of zeros stays. Raises ValueError for NaN or infinite values."""
    if not np.isfinite(values_ND).all():
        bad = int(np.flatnonzero(~np.isfinite(values_ND).all(axis=1))[0])
        raise ValueError(f"vector {bad} is not finite: look at the text or the model that made it")
    norms_N = np.linalg.norm(values_ND, axis=1, keepdims=True)
    unit_ND: Vectors = (values_ND / np.where(norms_N > 0, norms_N, 1.0)).astype(np.float32)
    return unit_ND


@dataclass(frozen=True)
class Model2VecEmbedder:
    """Static word vectors, fast on a CPU (package model2vec). Texts are read in full.

    Example:
        Model2VecEmbedder("minishlab/potion-base-8M")
    """

    model: str
    """Folder, or name on the hub (which gives its newest revision: pin one by a folder)."""

    @property
    def name(self) -> str:
        """`model2vec:` and the model."""
        return f"model2vec:{self.model}"

    @cached_property
    def _encode(self) -> Callable[..., NDArray[np.floating[Any]]]:
        loaded = _extra("model2vec").StaticModel.from_pretrained(self.model)
        encode: Callable[..., NDArray[np.floating[Any]]] = loaded.encode
        return encode

    def embed(self, texts: pl.Series) -> Vectors:
        """(N, D) vectors."""
        return unit_rows(self._encode(texts.fill_null("").to_list(), max_length=None))


@dataclass(frozen=True)
class SentenceTransformerEmbedder:
    """A transformer, for a GPU (package sentence-transformers). It cuts texts at its own `max_seq_length` tokens.

    Example:
        SentenceTransformerEmbedder("sentence-transformers/all-MiniLM-L6-v2", "c9745ed1d9f207416be6d2e6f8de32d1f16199bf")
    """

    model: str
    revision: str | None
    """Commit on the hub; None for a folder."""

    @property
    def name(self) -> str:
        """`sentence-transformers:`, the model and its revision."""
        return f"sentence-transformers:{self.model}@{self.revision}"

    @cached_property
    def _encode(self) -> Callable[..., NDArray[np.floating[Any]]]:
        loaded = _extra("sentence_transformers").SentenceTransformer(self.model, revision=self.revision)
        encode: Callable[..., NDArray[np.floating[Any]]] = loaded.encode
        return encode

    def embed(self, texts: pl.Series) -> Vectors:
        """(N, D) vectors."""
        return unit_rows(self._encode(texts.fill_null("").to_list(), convert_to_numpy=True))


def _extra(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        distribution = package.replace("_", "-")
        raise ValueError(
            f"{distribution} is not installed: `pip install {distribution}`, or use HashingVectoriser, which needs nothing"
        ) from error
