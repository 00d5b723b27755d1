"""What a run will take, before it is started: parameters, memory, tokens, steps."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from data_contracts.manifests import RunInput, RunKind, RunSpec
from data_contracts.storage import read_manifest, read_table
from data_contracts.tasks import Task
from data_contracts.token_rows import TokenRow
from trainer.lora import LoraRecipe, num_adapter_parameters
from trainer.packing import from_table
from trainer.recipe import InitRecipe, RlRecipe, SftRecipe, parse_recipe
from trainer.sharding import Sharding

BYTES_PER_PARAMETER = {"weights": 4, "gradients": 4, "optimizer": 8}
"""float32 weights and gradients, two float32 moments of AdamW; the last two for trained parameters only."""
GIB = 2**30


def describe(spec: RunSpec) -> str:
    """A few lines of text. Activations are left out: they grow with tokens_per_microbatch. Nothing is written."""
    inputs = {given.name: given for given in spec.inputs}
    if spec.kind is RunKind.INIT:
        init = parse_recipe(InitRecipe, "init", spec.recipe)
        return f"init {init.name} from {init.model}: {init.num_layers} layers of {init.hidden_size}, {init.vocab_size} tokens"
    recipe: SftRecipe | RlRecipe
    if spec.kind is RunKind.SFT:
        recipe = parse_recipe(SftRecipe, "sft", spec.recipe)
        work = _sft(recipe, inputs)
    else:
        recipe = parse_recipe(RlRecipe, "rl", spec.recipe)
        work = _rl(recipe, inputs)
    memory = _memory(inputs["checkpoint"], recipe.lora) if "checkpoint" in inputs else "no checkpoint given"
    return f"{memory}{_placement(recipe.sharding, spec.num_gpus)}\n{work}"


def _memory(checkpoint: RunInput, lora: LoraRecipe | None) -> str:
    config: Any = AutoConfig.from_pretrained(checkpoint.path)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    frozen, trained = 0, sum(p.numel() for p in model.parameters())
    if lora is not None:
        frozen, trained = trained, num_adapter_parameters(model, lora)
    counts = {"weights": frozen + trained, "gradients": trained, "optimizer": trained}
    parts = ", ".join(f"{name} {num * counts[name] / GIB:.3f} GiB" for name, num in BYTES_PER_PARAMETER.items())
    return f"parameters {frozen + trained:,}{f', of which trained {trained:,}' if frozen else ''}: {parts}"


def _placement(sharding: Sharding, num_gpus: int) -> str:
    """How several GPUs hold that."""
    if num_gpus < 2:
        return ""
    if sharding is Sharding.REPLICATE:
        return f"\neach of {num_gpus} GPUs holds all of it (sharding = 'full': 1/{num_gpus})"
    return f"\neach of {num_gpus} GPUs holds 1/{num_gpus} of it, and all weights in bfloat16 while it samples"


def _sft(recipe: SftRecipe, inputs: dict[str, RunInput]) -> str:
    if "dataset" not in inputs:
        return f"at most {recipe.max_steps} steps of {recipe.batch_size} rows"
    rows = from_table(read_table(Path(inputs["dataset"].path), TokenRow, inputs["dataset"].content_hash))
    epochs = recipe.max_steps * recipe.batch_size / rows.num_sequences
    return (
        f"rows {rows.num_sequences:,}, tokens {rows.num_tokens:,}, trained {int(rows.trained_T.sum()):,}, longest row "
        f"{int(rows.lengths_N.max())}\nat most {recipe.max_steps} steps of {recipe.batch_size} rows: {epochs:.1f} epochs, "
        f"{epochs * rows.num_tokens:,.0f} tokens"
    )


def _rl(recipe: RlRecipe, inputs: dict[str, RunInput]) -> str:
    attempts = recipe.max_steps * recipe.tasks_per_step * recipe.group_size
    known = f"{read_manifest(Path(inputs['tasks'].path)).num_rows:,} {Task.contract}s; " if "tasks" in inputs else ""
    return (
        f"{known}{recipe.max_steps} steps of {recipe.tasks_per_step} x {recipe.group_size} attempts: {attempts:,}, and at most "
        f"{attempts * recipe.max_refills:,} more in refills"
    )
