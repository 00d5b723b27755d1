"""Manifests: what a dataset, a checkpoint or a report is, by hash; and the spec of a run."""

from enum import StrEnum
from typing import ClassVar, Self

from data_contracts.arrow_schema import schema_hash
from data_contracts.attempts import Attempt, Policy, StopReason
from data_contracts.ids import content_hash
from data_contracts.record import Record
from data_contracts.scores import ScoredAttempt


class FileEntry(Record):
    """One file of a manifest."""

    path: str
    """Relative to the manifest's folder."""
    sha256: str
    num_bytes: int
    num_rows: int | None = None


class Parent(Record):
    """What something was made from."""

    name: str
    content_hash: str


class DatasetManifest(Record):
    """A folder of Parquet files under one contract. `content_hash` covers contract, files and nothing of time or place."""

    contract: ClassVar[str] = "dataset_manifest"

    name: str
    record_contract: str
    """e.g. `token_row@1.0`."""
    schema_hash: str
    files: tuple[FileEntry, ...]
    parents: tuple[Parent, ...]
    num_rows: int
    content_hash: str

    @classmethod
    def create(
        cls,
        name: str,
        record_contract: str,
        schema_hash: str,
        files: tuple[FileEntry, ...],
        parents: tuple[Parent, ...],
    ) -> Self:
        """Build a manifest and its hash."""
        identity = [name, record_contract, schema_hash, [f.plain() for f in files], [p.plain() for p in parents]]
        return cls(
            name=name,
            record_contract=record_contract,
            schema_hash=schema_hash,
            files=files,
            parents=parents,
            num_rows=sum(f.num_rows or 0 for f in files),
            content_hash=content_hash(identity),
        )


class CheckpointManifest(Record):
    """A folder with a model, its tokenizer and what made it. Clocks and hosts stay outside."""

    contract: ClassVar[str] = "checkpoint_manifest"

    name: str
    """Name of the student, e.g. `embedded`."""
    method: str
    """`init`, `sft` or `rl`."""
    files: tuple[FileEntry, ...]
    tokenizer_id: str
    parents: tuple[Parent, ...]
    """Dataset and initial checkpoint."""
    recipe: str
    """Canonical JSON of the resolved recipe."""
    num_steps: int
    content_hash: str

    @classmethod
    def create(
        cls,
        *,
        name: str,
        method: str,
        files: tuple[FileEntry, ...],
        tokenizer_id: str,
        parents: tuple[Parent, ...],
        recipe: str,
        num_steps: int,
    ) -> Self:
        """Build a manifest and its hash."""
        identity = [
            name,
            method,
            [f.plain() for f in files],
            tokenizer_id,
            [p.plain() for p in parents],
            recipe,
            num_steps,
        ]
        return cls(
            name=name,
            method=method,
            files=files,
            tokenizer_id=tokenizer_id,
            parents=parents,
            recipe=recipe,
            num_steps=num_steps,
            content_hash=content_hash(identity),
        )

    @property
    def revision(self) -> str:
        """Short name of this checkpoint as a student revision, e.g. `sft-3f2a9c1b22aa`."""
        return f"{self.method}-{self.content_hash[:12]}"


class Estimate(Record):
    """A figure with its 95 % interval. None: not measured."""

    mean: float | None
    low: float | None
    high: float | None
    num_samples: int
    """Independent units behind the interval: tasks, or seeds."""


class Metric(StrEnum):
    """What is asked of k attempts at a task. At k = 1 all are the mean pass rate, which is `EvaluationRow.accuracy`."""

    PASS = "pass@k"
    """P(at least one is right), unbiased (arXiv 2107.03374, eq. 1)."""
    PASS_HAT = "pass^k"
    """P(all are right), unbiased (arXiv 2406.12045)."""
    MAJORITY = "maj@k"
    """P(the most frequent final answer is right), over all subsets of k attempts; a tie counts as its expectation."""


class Score(Record):
    """A figure over k attempts of each task; `estimate.num_samples` are the tasks with so many labelled attempts."""

    metric: Metric
    k: int
    estimate: Estimate


class StopCount(Record):
    """How many labelled attempts ended for one reason."""

    stop: StopReason
    num_attempts: int


class CleanPart(Record):
    """The same policy on the items that its training data does not hold."""

    num_contaminated: int
    """Tasks left out: the training data holds at least `min_item_share` of their words (data_contracts.overlaps)."""
    share: float
    """num_contaminated / all tasks of the group."""
    min_item_share: float
    accuracy: Estimate
    """Strict, on the other tasks."""


class EvaluationRow(Record):
    """One policy on one group of tasks."""

    contract: ClassVar[str] = "evaluation_row"

    policy: Policy
    label: str
    """Name in tables: base, sft, rl, ..."""
    suite: str
    domain: str
    """A family, or `all`."""
    num_tasks: int
    num_attempts: int
    num_void: int
    accuracy: Estimate
    """Strict: mean over tasks of the pass rate, bootstrap interval over tasks."""
    accuracy_lenient: Estimate
    calls_per_attempt: float | None
    call_success: float | None
    model_failures: float | None
    """Share of calls that failed by the model's fault."""
    follows_tool: float | None
    """Share of attempts whose answer is what the last successful call gave, among those where that can be said."""
    tokens_per_attempt: float | None
    """Sampled tokens; None where the engine tells of none."""
    truncated: float | None
    """Share of attempts stopped by a limit."""
    scores: tuple[Score, ...] = ()
    """pass@k, pass^k and maj@k for k = 2, 4, 8, ... and all attempts of a task; what was not measured is left out."""
    stops: tuple[StopCount, ...] = ()
    """By reason, the most frequent first."""
    clean: CleanPart | None = None
    """None: not compared with any training data."""
    suite_revision: str | None = None
    """Commit on the hub; of a copy, what its user says; None for tasks of our own."""


class RunKind(StrEnum):
    """What a process of its own is asked to do."""

    SAMPLE = "sample"
    EVALUATE = "evaluate"
    INIT = "init"
    SFT = "sft"
    RL = "rl"


ROWS_WRITTEN: dict[RunKind, tuple[type[Record], ...]] = {
    RunKind.SAMPLE: (Attempt,),
    RunKind.EVALUATE: (Attempt, ScoredAttempt, EvaluationRow),
    RunKind.INIT: (),
    RunKind.SFT: (),
    RunKind.RL: (Attempt,),
}
"""The row contracts of what a run leaves on disk: after a change of one, its result cannot be read and is made again."""


class RunSpec(Record):
    """What a launcher hands to `python -m rollout` or `python -m trainer`: one JSON file.

    Example:
        RunSpec(kind=RunKind.SFT, recipe="{...}", inputs=(RunInput(name="dataset", path="data/sft", content_hash="ab"),),
                output="runs/sft", seed=0, num_gpus=0)
    """

    contract: ClassVar[str] = "run_spec"

    kind: RunKind
    recipe: str
    """Canonical JSON of the resolved recipe (tables of the TOML file after --set)."""
    inputs: tuple["RunInput", ...]
    output: str
    """Folder to write; its manifest appears last."""
    seed: int
    num_gpus: int = 0

    @property
    def identity(self) -> str:
        """Hash of what decides the result: kind, recipe, inputs' hashes, seed and written contracts; no paths, no devices."""
        inputs = [[given.name, given.content_hash] for given in self.inputs]
        written = [schema_hash(contract) for contract in ROWS_WRITTEN[self.kind]]
        return content_hash([self.kind.value, self.recipe, inputs, self.seed, written])


class RunInput(Record):
    """One input of a run."""

    name: str
    """tasks, dataset, checkpoint, teacher..."""
    path: str
    content_hash: str
    """Of its manifest; the reader checks it."""


class RunResult(Record):
    """What a process of its own leaves as `<output>/result.json`, last of all. No result.json: the run failed.

    A run whose output holds a result of the same identity is complete and is not done again.
    """

    contract: ClassVar[str] = "run_result"

    kind: RunKind
    identity: str
    """`RunSpec.identity` of the spec that was run."""
    outputs: tuple[RunInput, ...]
    """What was written, by name; paths relative to the output folder."""
    metrics: str
    """Canonical JSON of summary numbers."""
