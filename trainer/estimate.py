"""What a run will take, before it is started: parameters, memory, tokens, steps."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from data_contracts.manifests import RunInput, RunKind, RunSpec
from data_contracts.storage import read_manifest, read_table
from data_contracts.tasks import Task
from data_contracts.token_rows import TokenRow
from trainer.packing import from_table
from trainer.recipe import InitRecipe, RlRecipe, SftRecipe, TrainRecipe, parse_recipe
from trainer.sharding import Sharding

BYTES_PER_PARAMETER = {"weights": 4, "gradients": 4, "optimizer": 8}
"""float32 weights and gradients, two float32 moments of AdamW."""
GIB = 2**30


def describe(spec: RunSpec) -> str:
    """A few lines of text. Activations are left out: they grow with tokens_per_microbatch. Nothing is written."""
    inputs = {given.name: given for given in spec.inputs}
    if spec.kind is RunKind.INIT:
        init = parse_recipe(InitRecipe, "init", spec.recipe)
        return f"init {init.name} from {init.model}: {init.num_layers} layers of {init.hidden_size}, {init.vocab_size} tokens"
    memory = _memory(_num_parameters(inputs["checkpoint"])) if "checkpoint" in inputs else "no checkpoint given"
    memory += _placement(spec)
    work = _sft(spec, inputs) if spec.kind is RunKind.SFT else _rl(spec, inputs)
    return f"{memory}\n{work}"


def _num_parameters(checkpoint: RunInput) -> int:
    config: Any = AutoConfig.from_pretrained(checkpoint.path)
    with torch.device("meta"):
        return sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())


def _memory(num_parameters: int) -> str:
    parts = ", ".join(f"{name} {num * num_parameters / GIB:.3f} GiB" for name, num in BYTES_PER_PARAMETER.items())
    return f"parameters {num_parameters:,}: {parts}"


def _placement(spec: RunSpec) -> str:
    """How several GPUs hold that."""
    if spec.num_gpus < 2:
        return ""
    table: type[TrainRecipe] = SftRecipe if spec.kind is RunKind.SFT else RlRecipe
    if parse_recipe(table, spec.kind.value, spec.recipe).sharding is Sharding.REPLICATE:
        return f"\neach of {spec.num_gpus} GPUs holds all of it (sharding = 'full': 1/{spec.num_gpus})"
    return f"\neach of {spec.num_gpus} GPUs holds 1/{spec.num_gpus} of it, and all weights in bfloat16 while it samples"


def _sft(spec: RunSpec, inputs: dict[str, RunInput]) -> str:
    recipe = parse_recipe(SftRecipe, "sft", spec.recipe)
    if "dataset" not in inputs:
        return f"at most {recipe.max_steps} steps of {recipe.batch_size} rows"
    rows = from_table(read_table(Path(inputs["dataset"].path), TokenRow, inputs["dataset"].content_hash))
    epochs = recipe.max_steps * recipe.batch_size / rows.num_sequences
    return (
        f"rows {rows.num_sequences:,}, tokens {rows.num_tokens:,}, trained {int(rows.trained_T.sum()):,}, longest row "
        f"{int(rows.lengths_N.max())}\nat most {recipe.max_steps} steps of {recipe.batch_size} rows: {epochs:.1f} epochs, "
        f"{epochs * rows.num_tokens:,.0f} tokens"
    )


def _rl(spec: RunSpec, inputs: dict[str, RunInput]) -> str:
    recipe = parse_recipe(RlRecipe, "rl", spec.recipe)
    attempts = recipe.max_steps * recipe.tasks_per_step * recipe.group_size
    known = f"{read_manifest(Path(inputs['tasks'].path)).num_rows:,} {Task.contract}s; " if "tasks" in inputs else ""
    return (
        f"{known}{recipe.max_steps} steps of {recipe.tasks_per_step} x {recipe.group_size} attempts: {attempts:,}, and at most "
        f"{attempts * recipe.max_refills:,} more in refills"
    )
