"""What a run will take, printed before it is started: memory, tokens, steps, time, price."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_contracts.ids import canonical_json
from data_contracts.manifests import RunInput, RunKind, RunSpec
from data_contracts.storage import read_dataset, read_table
from data_contracts.tasks import Task
from data_contracts.token_rows import TokenRow
from trainer.cost import BANDWIDTH, PEAK_FLOPS, Assumption, Gpu, operations_per_token, probed_flops, sampling_seconds
from trainer.memory import Memory, layout_of, memory
from trainer.packing import from_table
from trainer.recipe import InitRecipe, RlRecipe, SftRecipe, TrainRecipe, parse_recipe
from trainer.shape import Shape, shape_of_init
from trainer.sharding import Sharding

GIB = 2**30
CPU_MFU = 0.3
"""Share of plain matrix products that training reaches on a CPU."""


@dataclass(frozen=True)
class Market:
    """What a person says of the machine."""

    gpu: Gpu = Gpu.H100
    mfu: float = 0.25
    price_per_hour: float | None = None


@dataclass(frozen=True)
class Work:
    """What a run has to do at most, as far as its inputs tell."""

    says: str
    num_tokens: float
    """That are trained on; without the dataset, as though every row were as long as one may be."""
    max_row_tokens: int


def describe(
    spec: RunSpec,
    init: Mapping[str, Any] | None = None,
    market: Market | None = None,
    max_row_tokens: int | None = None,
) -> str:
    """A few lines of text. Nothing is written. For a run whose inputs are not made yet: init, the recipe's [init], and
    max_row_tokens, what its longest row may have (None: a micro-batch)."""
    inputs = {given.name: given for given in spec.inputs}
    if spec.kind is RunKind.INIT:
        table = parse_recipe(InitRecipe, "init", spec.recipe)
        sizes = f"{table.num_layers} layers of {table.hidden_size}, {table.vocab_size} tokens"
        return f"init {table.name} from {table.model}: {sizes}"
    recipe, work = (_sft if spec.kind is RunKind.SFT else _rl)(spec, inputs, max_row_tokens)
    shape = _shape(inputs, init)
    if shape is None:
        return f"no checkpoint given, so neither memory nor time is known\n{work.says}"
    lines = [_parameters_line(shape, recipe), *_memory_lines(shape, recipe, spec.num_gpus, work.max_row_tokens)]
    lines += [work.says, *_time_lines(shape, recipe, spec.num_gpus, work, market or Market())]
    return "\n".join(lines)


def describe_tables(tables: Mapping[str, Mapping[str, Any]], market: Market) -> str:
    """`describe` of [sft] and [rl] as a recipe states them, with num_gpus and max_row_tokens, before anything of it is
    made."""
    parts = []
    for kind in (RunKind.SFT, RunKind.RL):
        if kind.value in tables:
            table = dict(tables[kind.value])
            num_gpus, longest = table.pop("num_gpus", 0), table.pop("max_row_tokens", None)
            spec = RunSpec(kind=kind, recipe=canonical_json(table), inputs=(), output="", seed=0, num_gpus=num_gpus)
            parts.append(f"[{kind.value}]\n{describe(spec, tables.get('init'), market, longest)}")
    return "\n\n".join(parts)


def _shape(inputs: Mapping[str, RunInput], init: Mapping[str, Any] | None) -> Shape | None:
    if "checkpoint" in inputs:
        return Shape.of_checkpoint(inputs["checkpoint"].path)
    return None if init is None else shape_of_init(init)


def _parameters_line(shape: Shape, recipe: TrainRecipe) -> str:
    if recipe.lora is None:
        return f"parameters {shape.num_parameters:,}"
    adapters = shape.adapter_parameters(recipe.lora)
    return f"parameters {shape.num_parameters + adapters:,}, of which trained {adapters:,}"


def _memory_lines(shape: Shape, recipe: TrainRecipe, num_gpus: int, max_row_tokens: int) -> list[str]:
    """As the recipe lays the model out; on several GPUs also what the other way would take."""
    layout = layout_of(shape, recipe, max(num_gpus, 1), num_gpus > 0)
    line = _parts_line(memory(shape, recipe, layout, max_row_tokens))
    if num_gpus < 2:
        return [f"memory: {line}"]
    other = Sharding.FULL if recipe.sharding is Sharding.REPLICATE else Sharding.REPLICATE
    instead = memory(shape, recipe, replace(layout, num_shards=num_gpus // layout.num_shards), max_row_tokens)
    share = "all of it" if layout.num_shards == 1 else f"1/{num_gpus} of it"
    return [
        f"each of {num_gpus} GPUs holds {share}: {line}",
        f"with sharding = '{other.value}' about {instead.peak / GIB:.3f} GiB at the peak",
    ]


def _parts_line(parts: Memory) -> str:
    told = ", ".join(f"{part.replace('_', ' ')} {size / GIB:.3f}" for part, size in vars(parts).items() if size)
    return f"about {parts.peak / GIB:.3f} GiB at the peak ({told} GiB)"


def _sft(spec: RunSpec, inputs: Mapping[str, RunInput], longest: int | None) -> tuple[TrainRecipe, Work]:
    recipe = parse_recipe(SftRecipe, "sft", spec.recipe)
    if "dataset" not in inputs:
        longest = longest or recipe.tokens_per_microbatch
        steps = f"at most {recipe.max_steps} steps of {recipe.batch_size} rows"
        says = f"{steps} (no dataset yet: as though each had {longest:,} tokens)"
        return recipe, Work(says, recipe.max_steps * recipe.batch_size * longest, longest)
    rows = from_table(read_table(Path(inputs["dataset"].path), TokenRow, inputs["dataset"].content_hash))
    epochs = recipe.max_steps * recipe.batch_size / rows.num_sequences
    says = (
        f"rows {rows.num_sequences:,}, tokens {rows.num_tokens:,}, trained {int(rows.trained_T.sum()):,}, longest row "
        f"{int(rows.lengths_N.max())}\nat most {recipe.max_steps} steps of {recipe.batch_size} rows: {epochs:.1f} epochs, "
        f"{epochs * rows.num_tokens:,.0f} tokens"
    )
    return recipe, Work(says, epochs * rows.num_tokens, int(rows.lengths_N.max()))


def _rl(spec: RunSpec, inputs: Mapping[str, RunInput], longest: int | None) -> tuple[TrainRecipe, Work]:
    recipe = parse_recipe(RlRecipe, "rl", spec.recipe)
    attempts = recipe.max_steps * recipe.tasks_per_step * recipe.group_size
    says = (
        f"{recipe.max_steps} steps of {recipe.tasks_per_step} x {recipe.group_size} attempts: {attempts:,}, and at most "
        f"{attempts * recipe.max_refills:,} more in refills"
    )
    if "tasks" not in inputs:
        longest = longest or recipe.overlong_max_tokens or recipe.tokens_per_microbatch
        return recipe, Work(
            f"{says} (no tasks yet: as though each had {longest:,} tokens)", attempts * longest, longest
        )
    tasks = read_dataset(Path(inputs["tasks"].path), Task, inputs["tasks"].content_hash)
    longest = max((task.limits.max_tokens for task in tasks), default=0)
    mean = sum(task.limits.max_tokens for task in tasks) / max(len(tasks), 1)
    return recipe, Work(f"{len(tasks):,} {Task.contract}s; {says}", attempts * mean, longest)


def _time_lines(shape: Shape, recipe: TrainRecipe, num_gpus: int, work: Work, market: Market) -> list[str]:
    """Training, and for RL on GPUs the sampling; as though every attempt were as long as its task allows."""
    if not num_gpus:
        assumed = Assumption(probed_flops(recipe.threads), CPU_MFU)
        rate = f"{assumed.flops / 1e9:.0f} GFLOP/s of this CPU's matrix products"
    else:
        assumed = Assumption(PEAK_FLOPS[market.gpu], market.mfu, num_gpus, market.price_per_hour)
        rate = f"{num_gpus} x {market.gpu.value} of {assumed.flops / 1e12:.0f} TFLOP/s"
    per_token = operations_per_token(shape, recipe)
    seconds = assumed.seconds(per_token * work.num_tokens)
    lines = [
        f"updates: about {_duration(seconds)} at most, if {assumed.mfu:.0%} of {rate} is reached "
        f"({per_token // shape.num_parameters} N operations a token, {work.num_tokens:,.0f} tokens)"
    ]
    if isinstance(recipe, RlRecipe) and num_gpus:
        batch = recipe.sampling.batch_size
        weight_bytes = layout_of(shape, recipe, num_gpus, True).computes_in * shape.num_parameters
        slow = sampling_seconds(weight_bytes, work.num_tokens, batch, BANDWIDTH[market.gpu], num_gpus)
        lines.append(
            f"sampling: at least {_duration(slow)} by memory bandwidth, {batch} attempts at a time, tools not counted"
        )
        seconds += slow
    if isinstance(recipe, RlRecipe) and not num_gpus:
        lines.append("sampling: not reckoned on a CPU")
    price = assumed.price(seconds)
    return lines if price is None else [*lines, f"price: about {price:,.2f} at {market.price_per_hour} a GPU and hour"]


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds:.0f} s"
