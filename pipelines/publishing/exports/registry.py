"""Every format: which released dataset it is made from, and how."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_contracts.attempts import Attempt
from data_contracts.manifests import RunInput
from data_contracts.storage import read_manifest, read_table
from data_contracts.tasks import Task
from data_contracts.token_rows import TokenRow
from data_contracts.tools import ToolSpec
from pipelines.publishing.exports.conversation import Conversation, conversations
from pipelines.publishing.exports.export import Export
from pipelines.publishing.exports.prime_sft import prime_sft
from pipelines.publishing.exports.tokens import tokens
from pipelines.publishing.exports.trl_grpo import trl_grpo
from pipelines.publishing.exports.trl_sft import trl_sft
from pipelines.publishing.exports.verifiers_rl import verifiers_rl
from pipelines.publishing.exports.verl_rl import verl_rl
from pipelines.publishing.exports.verl_sft import verl_sft
from pipelines.store import Store


@dataclass(frozen=True)
class Format:
    """A reader's form of a dataset."""

    asset: str
    """The released dataset that it is made from."""
    reader: str
    make: Callable[[Store, RunInput], Export]


def _of_conversations(form: Callable[[list[Conversation]], Export]) -> Callable[[Store, RunInput], Export]:
    def make(store: Store, entry: RunInput) -> Export:
        found, left_out = conversations(store.read(entry, Attempt), declared_tools(store, entry))
        made = form(found)
        return Export(made.tables, {**left_out, **made.left_out})

    return make


def _of_tasks(form: Callable[[list[Task]], Export]) -> Callable[[Store, RunInput], Export]:
    return lambda store, entry: form(store.read(entry, Task))


def _of_tokens(store: Store, entry: RunInput) -> Export:
    return tokens(read_table(Path(entry.path), TokenRow, entry.content_hash))


def declared_tools(store: Store, entry: RunInput) -> dict[str, tuple[ToolSpec, ...]]:
    """The tools of the tasks that a dataset of attempts was made with, by task key: its manifest names their version."""
    parents = {parent.name: parent.content_hash for parent in read_manifest(Path(entry.path)).parents}
    for asset in ("tasks", "recorded_tasks"):
        folder = store.datasets / asset / parents["tasks"]
        if folder.is_dir():
            version = RunInput(name=asset, path=str(folder), content_hash=parents["tasks"])
            return {task.key: task.tools for task in store.read(version, Task)}
    raise ValueError(
        f"the tasks of {entry.path} (version {parents['tasks'][:12]}) are not in {store.datasets}: materialise sft_dataset again"
    )


FORMATS: dict[str, Format] = {
    "trl-sft": Format("sft_attempts", "TRL SFTTrainer, by its chat template", _of_conversations(trl_sft)),
    "trl-tokens": Format("sft_dataset", "TRL SFTTrainer, on our tokens", _of_tokens),
    "trl-grpo": Format("rl_dataset", "TRL GRPOTrainer", _of_tasks(trl_grpo)),
    "verl-sft": Format("sft_attempts", "verl MultiTurnSFTDataset", _of_conversations(verl_sft)),
    "verl-rl": Format("rl_dataset", "verl RLHFDataset", _of_tasks(verl_rl)),
    "prime-sft": Format("sft_attempts", "prime-rl SFT", _of_conversations(prime_sft)),
    "verifiers": Format("rl_dataset", "verifiers tasksets, also under prime-rl", _of_tasks(verifiers_rl)),
}
