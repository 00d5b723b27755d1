"""Attempts to token rows for one student's tokenizer, with a decision for each that makes none."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow as pa
from tokenizers import Tokenizer

from data_contracts.attempts import Attempt, Origin
from data_contracts.decisions import Reason, Verdict
from data_contracts.ids import canonical_json
from data_contracts.manifests import RunInput
from data_contracts.storage import DatasetError
from data_contracts.token_rows import TokenRow
from data_contracts.tools import ToolSpec
from pipelines.curation.stitched import stitched
from pipelines.store import checkpoint_manifest
from rollout.rendering import Family, Renderer
from rollout.rows import TrainedParts, rendered_rows, sampled_row

Fault = tuple[Reason, str]
"""Why, and what was seen, as canonical JSON."""


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


@dataclass
class Rendering:
    """Token rows of attempts, made one after the other, and what was seen of them meanwhile."""

    renderer: Renderer
    max_tokens: int
    parts: TrainedParts
    stitch: bool = False
    """Render the stitched counterpart of each attempt instead: a control."""
    dropped: dict[str, Fault] = field(default_factory=dict)
    """By the key of each attempt that makes no row."""
    tokens: int = 0
    trained_tokens: int = 0
    longest_row: int = 0
    num_rows: int = 0
    prefix_breaks: int = 0
    """Further rows of attempts whose template changes earlier turns later on."""

    def rows(self, attempts: Iterable[Attempt], tools: Mapping[str, Sequence[ToolSpec]]) -> Iterator[TokenRow]:
        """The rows of attempts that fit. tools: by task key."""
        for attempt in attempts:
            declared = tools.get(attempt.task_key, ())
            shown = stitched(attempt, declared) if self.stitch else attempt
            made = rows_of(shown, declared, self.renderer, self.parts) if shown else []
            fault = fault_of(made, self.max_tokens)
            if fault:
                self.dropped[attempt.key] = fault
                continue
            for row in made:
                self._count(row)
                yield row

    def _count(self, row: TokenRow) -> None:
        self.num_rows += 1
        self.prefix_breaks += row.branch > 0
        self.tokens += len(row.tokens_T)
        self.trained_tokens += sum(row.trained_T)
        self.longest_row = max(self.longest_row, len(row.tokens_T))

    def decide(self, decisions: pa.Table) -> pa.Table:
        """Decisions, those on attempts without rows changed."""
        columns = {"subject": list(self.dropped), "why": [fault[0].value for fault in self.dropped.values()]}
        faults = pl.DataFrame(
            {**columns, "seen": [fault[1] for fault in self.dropped.values()]},
            schema=dict.fromkeys(("subject", "why", "seen"), pl.String),
        )
        table = pl.DataFrame(decisions).join(faults, on="subject", how="left", maintain_order="left")
        changed = pl.col("why").is_not_null()
        amended = table.with_columns(
            verdict=pl.when(changed).then(pl.lit(Verdict.DROP.value)).otherwise("verdict"),
            reason=pl.coalesce("why", "reason"),
            evidence=pl.coalesce("seen", "evidence"),
        )
        return amended.drop("why", "seen").to_arrow().cast(decisions.schema)


def rows_of(attempt: Attempt, tools: Sequence[ToolSpec], renderer: Renderer, parts: TrainedParts) -> list[TokenRow]:
    """The rows of one attempt that train something: its own tokens where the student's tokenizer made them, else rendered
    once."""
    if attempt.origin is Origin.SAMPLED and attempt.tokenizer_id == renderer.tokenizer_id:
        row = sampled_row(attempt, parts)
        return [row] if any(row.trained_T) else []
    return rendered_rows(attempt, tools, renderer, parts)


def fault_of(rows: Sequence[TokenRow], max_tokens: int) -> Fault | None:
    """Why the rows of an attempt are no use: nothing to train, or more than `max_tokens` tokens in one."""
    longest = max((len(row.tokens_T) for row in rows), default=0)
    if not rows:
        return Reason.NOT_RENDERABLE, canonical_json({"trained_tokens": 0})
    if longest > max_tokens:
        return Reason.TOO_LONG, canonical_json({"tokens": longest, "max_tokens": max_tokens})
    return None
