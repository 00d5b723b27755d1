"""One run of the trainer: its output folder, claimed; its inputs, by name; its result, written last."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from data_contracts.manifests import Parent, RunInput, RunKind, RunResult, RunSpec
from data_contracts.storage import MANIFEST, read_manifest, write_bytes
from rollout.checkpoint import read_checkpoint_manifest
from rollout.process import finished, input_of, write_result
from trainer.checkpoints import export_checkpoint
from trainer.distributed import ALONE, World
from trainer.sharding import whole_weights

CLAIM = "identity"
RECIPE = "recipe.json"
CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Run:
    """A spec with its folder, and the ranks that run it; the first one writes."""

    spec: RunSpec
    world: World = ALONE

    @property
    def folder(self) -> Path:
        """Where the run writes."""
        return Path(self.spec.output)

    def claim(self) -> None:
        """Take the output folder for this spec, as the first thing that is written, once recipe and inputs are known to be
        good. Raises ValueError where the folder belongs to another run."""
        claim = self.folder / CLAIM
        if claim.is_file() and claim.read_text() != self.spec.identity:
            raise ValueError(
                f"{self.folder} belongs to another run ({claim.read_text()[:12]}, not {self.spec.identity[:12]}): its "
                "recipe, data or seed differ; choose another output folder, or delete this one"
            )
        if self.world.is_first:
            write_bytes(claim, self.spec.identity.encode())
            write_bytes(self.folder / RECIPE, self.spec.recipe.encode())

    def result(self) -> RunResult | None:
        """The result, if this run is complete."""
        return finished(self.spec)

    def input(self, name: str) -> RunInput:
        """An input by name. Raises ValueError where the spec lacks it."""
        return input_of(self.spec, name)

    def optional(self, name: str) -> RunInput | None:
        """An input by name, or None."""
        return next((given for given in self.spec.inputs if given.name == name), None)

    def finish(
        self, model: Any, tokenizer: Any, name: str, num_steps: int, metrics: dict[str, float | int | None]
    ) -> None:
        """Write the checkpoint, then the result; no rank returns before they are there."""
        weights = whole_weights(model, self.world)
        if self.world.is_first:
            self._write(model, weights, tokenizer, name, num_steps, metrics)
        self.world.barrier()

    def _write(
        self,
        model: Any,
        weights: dict[str, Tensor],
        tokenizer: Any,
        name: str,
        num_steps: int,
        metrics: dict[str, float | int | None],
    ) -> None:
        manifest = export_checkpoint(
            self.folder / CHECKPOINT,
            model,
            tokenizer,
            weights,
            name=name,
            method=self.spec.kind.value,
            parents=tuple(Parent(name=i.name, content_hash=i.content_hash) for i in self.spec.inputs),
            recipe=self.spec.recipe,
            num_steps=num_steps,
        )
        output = RunInput(name=CHECKPOINT, path=CHECKPOINT, content_hash=manifest.content_hash)
        write_result(self.spec, (output,), metrics)


def given_input(name: str, folder: Path) -> RunInput:
    """An input given by its folder alone: the hash is what its manifest says now."""
    if not (folder / MANIFEST).is_file():
        raise ValueError(f"--{name} {folder}: there is no {MANIFEST} in it; give the folder of a finished {name}")
    manifest = read_checkpoint_manifest(folder) if name == CHECKPOINT else read_manifest(folder)
    return RunInput(name=name, path=str(folder), content_hash=manifest.content_hash)


def spec_from_flags(
    kind: RunKind, recipe: str, inputs: dict[str, Path | None], output: Path, seed: int, num_gpus: int
) -> RunSpec:
    """The spec that a launcher would have written."""
    given = tuple(given_input(name, folder) for name, folder in inputs.items() if folder is not None)
    return RunSpec(kind=kind, recipe=recipe, inputs=given, output=str(output), seed=seed, num_gpus=num_gpus)
