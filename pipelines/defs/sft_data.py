"""What SFT learns from: decisions on attempts, and token rows of those that pass. Memory holds a few shards at a time."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import dagster as dg
import numpy as np
import polars as pl
from pydantic import Field

from data_contracts.attempts import Attempt
from data_contracts.decisions import Decision, Verdict
from data_contracts.manifests import RunInput
from data_contracts.overlaps import Overlap
from data_contracts.token_rows import TokenRow
from pipelines.curation.arrays import Positions
from pipelines.curation.at_scale import Question, Selected, select_sft_dataset
from pipelines.curation.diversity import diversity_of_texts
from pipelines.curation.funnel import stored_funnel
from pipelines.curation.recipes import SftDataRecipe
from pipelines.curation.shards import shard_records, shards_of
from pipelines.curation.task_facts import task_facts
from pipelines.curation.texts import Aspect
from pipelines.curation.workers import ScaleRecipe
from pipelines.defs.base import base_checkpoint, sft_sources
from pipelines.defs.contamination import evaluation_items, parse_decontamination
from pipelines.defs.funnels import PER_SOURCE, funnel_of_sources
from pipelines.defs.outcome import (
    Metadata,
    Result,
    accounted,
    check_specs,
    contract_check,
    enough_check,
    funnel_of,
    released,
)
from pipelines.defs.recorded import recorded_attempts
from pipelines.defs.sft_rows import Rendering, checkpoint_renderer
from pipelines.defs.teacher import teacher_attempts
from pipelines.recipe import parse_table
from pipelines.resources import DatasetStore, RecipeResource
from pipelines.store import entry_of, lineage
from pipelines.viewer.plots import counts
from rollout.rendering import Family
from rollout.rows import TrainedParts

MOST_COMPARED = 20_000
"""Attempts whose diversity is measured."""


class SftDataTable(SftDataRecipe):
    """The recipe table [sft_data]: the filters' options and how rows are made."""

    source: Literal["teacher", "recorded"]
    family: Family
    """Chat format of the student."""
    max_tokens: int = Field(ge=8)
    """Longer rows are dropped, never cut."""
    train_failed_turns: bool = True
    """False: turns whose every call failed are context only."""
    train_failed_calls: bool = True
    """False: failed calls are context only, also where another call of their turn succeeded."""
    train_void_turns: bool = True
    """False: turns with neither a call nor an answer are context only."""
    control: Literal["stitched"] | None = None
    """Train on the stitched counterparts of the kept attempts instead (pipelines.curation.stitched): does it matter that a
    tool was really called?"""
    min_rows: int = Field(ge=1)

    @property
    def parts(self) -> TrainedParts:
        """What of a row is trained."""
        return TrainedParts(self.train_failed_turns, self.train_failed_calls, self.train_void_turns)

    def filters(self) -> SftDataRecipe:
        """The part that decisions are made by."""
        return SftDataRecipe(**self.model_dump(include=set(SftDataRecipe.model_fields)))


@dg.asset(
    deps=[teacher_attempts, recorded_attempts, base_checkpoint],
    check_specs=check_specs("sft_dataset", "contract", "accounted", "enough_rows"),
)
def sft_dataset(context: dg.AssetExecutionContext, store: DatasetStore, recipe: RecipeResource) -> Result:
    """Token rows of verified attempts, rendered by the student's tokenizer, and the decision on every attempt."""
    data, plan = store.open(), recipe.load()
    table = plan.parse("sft_data", SftDataTable)
    sources, base = sft_sources(data, plan), data.latest("base_checkpoint")
    rendering = Rendering(
        checkpoint_renderer(base, table.family), table.max_tokens, table.parts, table.control is not None
    )
    question = Question(*sources, *evaluation_items(data, plan), parse_decontamination(plan), table.filters())
    scale = parse_table("scale", plan.tables.get("scale", {}), ScaleRecipe)
    with select_sft_dataset(question, scale, data.root / "work", context.log.debug) as selected:
        kept = entry_of(*selected.write_kept(data.datasets, "sft_attempts", lineage(sources)))
        rows = data.write("sft_dataset", rows_of_kept(kept, selected, rendering), TokenRow, [*sources, base])
        decisions = map(rendering.decide, selected.decisions())
        written = data.write_tables("sft_decisions", decisions, Decision, sources)
        shared = data.write("sft_overlaps", selected.overlaps(), Overlap, sources)
        diversity = diversity_metadata(selected)
        subjects = selected.facts.table["key"].to_list()
    decided = pl.read_parquet(f"{written.path}/*.parquet", columns=["subject", "verdict", "reason"])
    funnel = stored_funnel(Path(written.path), PER_SOURCE)
    verdicts = decided["verdict"].to_list()
    checks = [
        contract_check(data, [(rows, TokenRow), (kept, Attempt), (written, Decision), (shared, Overlap)]),
        accounted(subjects, decided["subject"], {v.value: verdicts.count(v.value) for v in Verdict}),
        enough_check(rendering.num_rows, table.min_rows, "sft_data"),
    ]
    metadata = {
        **row_metadata(rendering, dict(decided["reason"].value_counts().iter_rows())),
        **diversity,
        **overlap_metadata(Path(shared.path), decided["subject"]),
        "funnel_by_source": funnel_of_sources(funnel),
    }
    outputs = {"sft_dataset": rows, "sft_attempts": kept, "sft_decisions": written, "sft_overlaps": shared}
    return released(data, outputs, checks, metadata)


def rows_of_kept(kept: RunInput, selected: Selected, rendering: Rendering) -> Iterator[TokenRow]:
    """The token rows of kept attempts, some attempts in memory at a time."""
    for shard in shards_of(Path(kept.path), Attempt, kept.content_hash):
        for attempts in shard_records(shard, Attempt):
            asked = sorted({attempt.task_key for attempt in attempts})
            yield from rendering.rows(attempts, task_facts(str(selected.folder), asked).tools)


def diversity_metadata(selected: Selected) -> Metadata:
    """Vendi scores, the effective number of different rows, of questions and of tool behaviour, before and after; of more
    than MOST_COMPARED attempts, of every n-th by key."""
    before = np.arange(len(selected.facts.table))
    return {
        f"vendi_{aspect.value}_{when}": vendi_of(selected, rows, aspect)
        for aspect in (Aspect.QUESTION, Aspect.CALLS)
        for when, rows in (("before", before), ("after", selected.kept_R))
    }


def vendi_of(selected: Selected, rows_R: Positions, aspect: Aspect) -> float | None:
    """Vendi score of an aspect of some attempts; None where none has content."""
    some = rows_R[:: max(-(-len(rows_R) // MOST_COMPARED), 1)]
    texts = [text for part in selected.facts.texts.map(pl.Series.to_list, some, aspect) for text in part]
    return diversity_of_texts(texts)


def overlap_metadata(folder: Path, attempt_keys: pl.Series) -> Metadata:
    """How many attempts, and how many tasks that they ask, share anything with an evaluation item; few of them hold one."""
    keys = pl.read_parquet(folder / "*.parquet", columns=["key"])["key"].unique()
    num_attempts = int(keys.is_in(attempt_keys.implode()).sum())
    return {
        "attempts_overlapping_evaluation": num_attempts,
        "tasks_overlapping_evaluation": len(keys) - num_attempts,
    }


def row_metadata(rendering: Rendering, reasons: Mapping[str, int]) -> Metadata:
    """Numbers of the rows, and the funnel that they came through."""
    return {
        "num_rows": rendering.num_rows,
        "tokens": rendering.tokens,
        "trained_tokens": rendering.trained_tokens,
        "longest_row": rendering.longest_row,
        "prefix_breaks": rendering.prefix_breaks,
        "plot": dg.MetadataValue.md(counts("What became of the attempts", funnel_of(reasons))),
    }
