"""The selection of SFT attempts, out of core: three passes over shards, any number of processes, one result.

Measure: the facts of each shard (`measuring`). Decide: the rules on sets, over the facts of all (`deciding`). Emit: kept
attempts and decisions (`emitting`). What a pass has done (a shard, a rule on sets, a part of the kept attempts) stays on
disk, so that a run that was killed goes on where it stood. Made again after a kill are the decisions, which take little
time, and the comparisons of the one rule that was under way. The decisions are those of `selection.select_sft`, of which
this is the same code on parts.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from data_contracts.attempts import Attempt
from data_contracts.decisions import Reason
from data_contracts.ids import content_hash
from data_contracts.manifests import DatasetManifest, Parent, RunInput
from data_contracts.overlaps import Overlap
from data_contracts.tasks import Task
from pipelines.curation.arrays import Positions
from pipelines.curation.deciding import group_findings
from pipelines.curation.decontamination import DecontaminationRecipe
from pipelines.curation.emitting import decision_tables, write_kept
from pipelines.curation.evaluation_items import store_items
from pipelines.curation.facts import FACTS_VERSION, Facts
from pipelines.curation.measuring import load_facts, measure_shards, stored_overlaps
from pipelines.curation.recipes import SftDataRecipe
from pipelines.curation.selection import SFT_RULES, VERSIONS
from pipelines.curation.sharded_texts import ShardedTexts
from pipelines.curation.shards import Shard, shards_of
from pipelines.curation.task_facts import store_task_facts
from pipelines.curation.workers import ScaleRecipe, Workers, workers

FACT_BYTES = 1_500
"""Of a row of facts in memory, its findings and the copies that rules on sets make."""


@dataclass(frozen=True)
class Question:
    """What is to be selected: everything that decides the result.

    Example:
        Question(attempts, tasks, names, texts, DecontaminationRecipe(), SftDataRecipe())
    """

    attempts: RunInput
    tasks: RunInput
    item_names: pl.Series
    item_texts: pl.Series
    """Evaluation items."""
    decontamination: DecontaminationRecipe
    recipe: SftDataRecipe

    @property
    def identity(self) -> str:
        """Hash of all, by which a run that was killed finds what it did."""
        items = [self.item_names.to_list(), self.item_texts.to_list(), self.decontamination.model_dump(mode="json")]
        version = self.recipe.version(SFT_RULES, VERSIONS)
        return content_hash([self.attempts.content_hash, self.tasks.content_hash, items, version, FACTS_VERSION])


@dataclass(frozen=True)
class Selected:
    """The answer, most of it on disk until it is asked for."""

    recipe: SftDataRecipe
    folder: Path
    shards: list[Shard]
    facts: Facts
    findings: pl.DataFrame
    """Of the rules on sets (`selection.finding_table`)."""
    task_overlaps: list[Overlap]
    pool: Workers

    @cached_property
    def kept_R(self) -> Positions:
        """Positions of the attempts that break no rule."""
        passed_R = self.facts.passed()
        return passed_R[~np.isin(passed_R, self.findings["row"].to_numpy())]

    def decisions(self) -> Iterator[pa.Table]:
        """The decisions on all attempts, by key."""
        return decision_tables(self.shards, self.findings, self.recipe, self.folder)

    def overlaps(self) -> Iterator[Overlap]:
        """What attempts, and the tasks that they ask, share with evaluation items."""
        asked = set(self.facts.table["task_key"].unique())
        return chain(stored_overlaps(self.shards, self.folder), (o for o in self.task_overlaps if o.key in asked))

    def write_kept(self, root: Path, name: str, parents: tuple[Parent, ...]) -> tuple[Path, DatasetManifest]:
        """Write the kept attempts as a dataset."""
        return write_kept(root, name, self.shards, self.kept_R, parents, self.folder, self.pool)


@contextmanager
def select_sft_dataset(
    question: Question, scale: ScaleRecipe, work: Path, say: Callable[[str], None] = print
) -> Iterator[Selected]:
    """Select from datasets on disk. Facts lie under `work` meanwhile and are removed at the end of the block; after a
    failure they stay, and the same question goes on from there.

    Raises ValueError where memory cannot hold it, where an attempt or a task comes twice, and where more rows break their
    contract than the recipe allows; DatasetError for data that is not what it was.
    """
    recipe, folder = question.recipe, work / f"curation-{question.identity}"
    shards = shards_of(Path(question.attempts.path), Attempt, question.attempts.content_hash)
    of_tasks = shards_of(Path(question.tasks.path), Task, question.tasks.content_hash)
    folder.mkdir(parents=True, exist_ok=True)
    with workers(scale.processes_for([*shards, *of_tasks], bytes_per_row(recipe)), say) as pool:
        store_items(question.item_names, question.item_texts, question.decontamination, folder)
        task_overlaps = store_task_facts(of_tasks, folder, pool)
        measure_shards(shards, recipe, folder, pool)
        facts = load_facts(shards, recipe, folder, ShardedTexts(shards, pool))
        check_quarantined(facts.table, scale.max_quarantined)
        findings = group_findings(facts, recipe, folder)
        yield Selected(recipe, folder, shards, facts, findings, task_overlaps, pool)
    shutil.rmtree(folder)


def bytes_per_row(recipe: SftDataRecipe) -> int:
    """Memory that the rules on sets take for each row."""
    num_bins = recipe.near_duplicates.num_bins if recipe.near_duplicates else 0
    return FACT_BYTES + 2 * 4 * num_bins


def check_quarantined(table: pl.DataFrame, most: float) -> None:
    """Raises ValueError where more than this share of the rows break their contract."""
    broken = table.filter(pl.col("reason") == Reason.CONTRACT.value)
    if len(broken) > most * len(table):
        raise ValueError(
            f"{len(broken):,} of {len(table):,} attempts break their contract, e.g. {broken['key'][0]}: more than [scale] "
            f"max_quarantined={most}; write the dataset again, or raise the limit"
        )
