"""Attempts to token rows for one student's tokenizer, with a decision for each that makes none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from data_contracts.attempts import Attempt, Origin
from data_contracts.decisions import Decision, Reason, Verdict
from data_contracts.ids import canonical_json
from data_contracts.manifests import RunInput
from data_contracts.storage import DatasetError
from data_contracts.token_rows import TokenRow
from data_contracts.tools import ToolSpec
from pipelines.store import checkpoint_manifest
from rollout.rendering import Family, Renderer
from rollout.rows import rendered_rows, sampled_row


@dataclass(frozen=True)
class _BareTokenizer:
    """All of a tokenizer that rendering needs: Dagster's process is spared the import of the model stack."""

    backend_tokenizer: Tokenizer


def checkpoint_renderer(checkpoint: RunInput, family: Family) -> Renderer:
    """The renderer of a checkpoint's tokenizer. Raises DatasetError where it is not the one that its manifest names."""
    tokenizer = Tokenizer.from_file(str(Path(checkpoint.path) / "tokenizer.json"))
    renderer, wanted = Renderer(_BareTokenizer(tokenizer), family), checkpoint_manifest(checkpoint).tokenizer_id
    if renderer.tokenizer_id != wanted:
        raise DatasetError(
            f"{checkpoint.path} has tokenizer {renderer.tokenizer_id}, but its manifest names {wanted}: materialise it again"
        )
    return renderer


def make_rows(
    kept: Sequence[Attempt],
    decisions: Sequence[Decision],
    tools: Mapping[str, Sequence[ToolSpec]],
    renderer: Renderer,
    max_tokens: int,
    train_failed_turns: bool,
) -> tuple[list[TokenRow], list[Decision]]:
    """Rows of the kept attempts, and all decisions, those on attempts without rows changed. `tools` are by task key."""
    decided = {decision.subject: decision for decision in decisions}
    rows: list[TokenRow] = []
    for attempt in kept:
        made = rows_of(attempt, tools.get(attempt.task_key, ()), renderer, train_failed_turns)
        fitting, decided[attempt.key] = fit_rows(made, decided[attempt.key], max_tokens)
        rows += fitting
    return rows, list(decided.values())


def rows_of(
    attempt: Attempt, tools: Sequence[ToolSpec], renderer: Renderer, train_failed_turns: bool
) -> list[TokenRow]:
    """The rows of one attempt: its own tokens where the student's tokenizer made them, else rendered once."""
    if attempt.origin is Origin.SAMPLED and attempt.tokenizer_id == renderer.tokenizer_id:
        return [sampled_row(attempt)]
    return rendered_rows(attempt, tools, renderer, train_failed_turns)


def fit_rows(rows: Sequence[TokenRow], decision: Decision, max_tokens: int) -> tuple[Sequence[TokenRow], Decision]:
    """The rows and the decision, or none and why: nothing to train, or a row of more than `max_tokens` tokens."""
    longest = max((len(row.tokens_T) for row in rows), default=0)
    if not rows:
        return (), _dropped(decision, Reason.NOT_RENDERABLE, {"trained_tokens": 0})
    if longest > max_tokens:
        return (), _dropped(decision, Reason.TOO_LONG, {"tokens": longest, "max_tokens": max_tokens})
    return rows, decision


def _dropped(decision: Decision, reason: Reason, evidence: dict[str, int]) -> Decision:
    return decision.model_copy(update={"verdict": Verdict.DROP, "reason": reason, "evidence": canonical_json(evidence)})
