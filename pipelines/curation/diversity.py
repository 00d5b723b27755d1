"""How diverse a set is: Vendi score, coverage of a larger set, and the tool behaviour of attempts as text."""

import ast
import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from data_contracts.attempts import Attempt, CallRecord
from pipelines.curation.arrays import Vectors
from pipelines.curation.hashing_vectoriser import HashingVectoriser
from pipelines.curation.neighbours import distances, nearest

UNPARSED = "unparsed"
MAX_PROGRAM = 100_000
"""Characters; a longer program is not parsed: parsing takes memory in proportion."""
CODE_ARGUMENTS = ("code", "source", "script")
"""Arguments of a call that hold a program."""


@dataclass(frozen=True)
class Coverage:
    """How well a subset stands for the whole it came from; distances are Euclidean, between unit vectors (0 to 2).

    Example:
        Coverage(mean_distance=0.4, max_distance=1.1, share_within=0.93)
    """

    mean_distance: float
    """From a vector of the whole to the nearest of the subset."""
    max_distance: float
    share_within: float
    """Share of the whole that lies within the radius of one of the subset."""


def vendi_score(vectors_ND: Vectors) -> float:
    """Effective number of different rows, exp(H(eigenvalues of X X^T / n)) (Friedman & Dieng 2022, arXiv 2210.02410).

    From 1 (all rows equal) to min(N, D) (rows orthogonal). Rows must have norm one. The eigenvalues are taken from the
    smaller of the two Gram matrices, X^T X / n (D x D) or X X^T / n, which share all that are not zero.
    Raises ValueError for no rows and for rows of another norm.
    """
    rows_ND = np.asarray(vectors_ND, np.float64)
    num_rows = len(rows_ND)
    norms_N = np.linalg.norm(rows_ND, axis=1)
    if not num_rows or np.abs(norms_N - 1).max() > 1e-3:
        raise ValueError(f"{num_rows} rows, not all of norm one: leave out texts without content, then ask again")
    wide = rows_ND.shape[1] > num_rows
    gram = (rows_ND @ rows_ND.T if wide else rows_ND.T @ rows_ND) / num_rows
    values = np.linalg.eigvalsh(gram)
    positive = values[values > 0]
    shares = positive / positive.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def diversity_of_texts(texts: Sequence[str]) -> float | None:
    """Vendi score of texts under the built-in vectoriser; None where none has content."""
    vectors_ND = HashingVectoriser().embed(pl.Series(texts, dtype=pl.String))
    said_ND = vectors_ND[np.linalg.norm(vectors_ND, axis=1) > 0]
    return vendi_score(said_ND) if len(said_ND) else None


def coverage(whole_ND: Vectors, subset_MD: Vectors, radius: float) -> Coverage:
    """How far the whole lies from the subset. Raises ValueError where one of them is empty."""
    if not len(whole_ND):
        raise ValueError("there is nothing to cover: hand in at least one vector")
    apart_N = distances(nearest(whole_ND, subset_MD)[1])
    return Coverage(float(apart_N.mean()), float(apart_N.max()), float((apart_N <= radius).mean()))


def call_sequence(attempt: Attempt) -> str:
    """The tools that were called and how each call ended, in order, as text for an embedder; "nocall" for none.

    Each call is one word, e.g. `getuserok`, so that word n-grams are runs of calls.
    """
    return " ".join(_word(f"{call.name or 'malformed'}{call.status.value}") for call in attempt.calls()) or "nocall"


def code_shape(attempt: Attempt) -> str:
    """The Python programs of the calls as the types of their syntax nodes, depth first, as text for an embedder.

    Names, numbers and strings do not count. Programs are parsed, never run; what does not parse is the word `unparsed`,
    what is no program (no argument of CODE_ARGUMENTS) is left out.
    """
    programs = [program for call in attempt.calls() if (program := _program(call)) is not None]
    return " ".join(word for program in programs for word in _shape(program))


def _word(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


def _program(call: CallRecord) -> str | None:
    """The program that a call holds."""
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return None
    found = [arguments[name] for name in CODE_ARGUMENTS if name in arguments] if isinstance(arguments, dict) else []
    return next((program for program in found if isinstance(program, str)), None)


def _shape(program: str) -> Iterable[str]:
    if len(program) > MAX_PROGRAM:
        return [UNPARSED]
    # A program of the model may be anything: parsing fails on syntax, null bytes or surrogates (ValueError) and depth.
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [UNPARSED]
    return [type(node).__name__.lower() for node in _depth_first(tree)]


def _depth_first(tree: ast.AST) -> Iterable[ast.AST]:
    """All nodes below the root, parents first; contexts (load, store), which say nothing new, left out."""
    waiting = list(reversed(list(ast.iter_child_nodes(tree))))
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.expr_context):
            yield node
            waiting += reversed(list(ast.iter_child_nodes(node)))
