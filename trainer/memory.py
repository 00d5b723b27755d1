"""How much memory a training takes on one rank. Pure arithmetic; what it leaves out is named."""

from dataclasses import dataclass

from trainer.head import TILES
from trainer.recipe import RlRecipe, TrainRecipe
from trainer.shape import Shape
from trainer.sharding import Sharding

FLOAT32, BFLOAT16 = 4, 2
"""Bytes of a number."""
MOMENTS = 2
"""Float32 numbers that AdamW keeps for each trained parameter."""
HEAD_TILES = 3
"""Tiles of logits that the head holds at a time: logits, their slopes, and a temporary."""


@dataclass(frozen=True)
class Layout:
    """How a model lies on its ranks.

    Example, weights, gradients and moments split over 8 GPUs:
        Layout(num_shards=8, on_gpu=True)
    """

    num_shards: int = 1
    """Ranks that share one copy; 1: every rank has all of it."""
    on_gpu: bool = False
    """Forward and backward in bfloat16, beside float32 weights."""
    trained_parameters: int | None = None
    """Those with gradients and moments; None: all."""

    @property
    def computes_in(self) -> int:
        """Bytes of a number that weights are read in: a whole float32 copy is sampled from as it is."""
        return BFLOAT16 if self.on_gpu and self.num_shards > 1 else FLOAT32


def layout_of(shape: Shape, recipe: TrainRecipe, num_ranks: int, on_gpu: bool) -> Layout:
    """How a recipe lays its model out over ranks."""
    trained = None if recipe.lora is None else shape.adapter_parameters(recipe.lora)
    return Layout(num_ranks if recipe.sharding is Sharding.FULL else 1, on_gpu, trained)


@dataclass(frozen=True)
class Memory:
    """Bytes on one rank, by what they are for. What allocators waste, and CUDA's own context, stand in none."""

    weights: int
    gradients: int
    optimizer: int
    low_precision: int
    """Copies of weights to compute with, until the backward pass is through: in bfloat16 on a GPU, where autocast or
    sharding makes them; of a sharded model embedding, head and one layer."""
    reference: int
    """A frozen copy, for KL."""
    activations: int
    head: int
    sampling: int
    """Keys and values while attempts are sampled, and the weights of a sharded model, gathered for that time."""

    @property
    def standing(self) -> int:
        """What every update needs at least, whatever the length of rows."""
        return self.weights + self.gradients + self.optimizer + self.reference

    @property
    def peak(self) -> int:
        """The larger of an update's and the sampler's: gradients and activations are not there while it samples."""
        held = self.weights + self.optimizer + self.reference
        return held + max(self.gradients + self.low_precision + self.activations + self.head, self.sampling)


def memory(shape: Shape, recipe: TrainRecipe, layout: Layout, max_row_tokens: int = 0) -> Memory:
    """The memory of an update with a full micro-batch. max_row_tokens: of the sampler's cache; 0 leaves that out."""
    tile = TILES["cuda" if layout.on_gpu else "cpu"]
    trained = shape.num_parameters if layout.trained_parameters is None else layout.trained_parameters
    sharing = layout.num_shards
    needs_reference = isinstance(recipe, RlRecipe) and recipe.kl_coefficient > 0 and recipe.lora is None
    rows = recipe.sampling.batch_size if isinstance(recipe, RlRecipe) else 0
    gathered = layout.computes_in * shape.num_parameters if rows and sharing > 1 else 0
    return Memory(
        weights=FLOAT32 * (shape.num_parameters + (layout.trained_parameters or 0)) // sharing,
        gradients=FLOAT32 * trained // sharing,
        optimizer=MOMENTS * FLOAT32 * trained // sharing,
        low_precision=_copies(shape, layout),
        reference=FLOAT32 * shape.num_parameters // sharing if needs_reference else 0,
        activations=activation_bytes(shape, recipe.tokens_per_microbatch, recipe.gradient_checkpointing, layout.on_gpu),
        head=HEAD_TILES * FLOAT32 * tile.tokens * tile.vocabulary,
        sampling=rows * max_row_tokens * cache_bytes_per_token(shape, layout.computes_in) + gathered,
    )


def activation_bytes(shape: Shape, num_tokens: int, checkpointing: bool, on_gpu: bool) -> int:
    """What the decoder keeps for the backward pass. With checkpointing: every layer's input, and one layer in full."""
    layer = num_tokens * layer_bytes_per_token(shape, on_gpu)
    if not checkpointing:
        return shape.num_layers * layer
    return shape.num_layers * num_tokens * shape.hidden_size * FLOAT32 + layer


def layer_bytes_per_token(shape: Shape, on_gpu: bool) -> int:
    """Of one layer, with H hidden, A = heads x head_dim, K = key heads x head_dim, I intermediate. Saved are:

    norms 2 H + A + K, in float32 (the two of the layer; of queries and keys); inputs of the attention's and the MLP's
    projections 2 H; queries, keys, values A + 2 K; the attention's output on its grid and flat 2 A; the MLP's gate, its
    SiLU, the other branch, and their product 4 I. The latter are bfloat16 on a GPU. Padding of the grid is left out.
    """
    query, key = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
    norms = 2 * shape.hidden_size + query + key
    rest = 2 * shape.hidden_size + 3 * query + 2 * key + 4 * shape.intermediate_size
    return FLOAT32 * norms + (BFLOAT16 if on_gpu else FLOAT32) * rest


def _copies(shape: Shape, layout: Layout) -> int:
    if layout.num_shards > 1:
        borrowed = 2 * shape.vocabulary * shape.hidden_size + shape.num_parameters // shape.num_layers
        return layout.computes_in * borrowed
    return BFLOAT16 * shape.num_parameters if layout.on_gpu else 0


def cache_bytes_per_token(shape: Shape, size: int = FLOAT32) -> int:
    """Keys and values of all layers; size: bytes of a number."""
    return 2 * shape.num_layers * shape.num_kv_heads * shape.head_dim * size
