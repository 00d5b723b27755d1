"""Memory and time: against sums by hand, against what autograd really saves, and against models of the library."""

from dataclasses import replace

import pytest
import torch

from tests.tiny import qwen_model
from tests.trainer.packs import make_model, random_pack
from tests.trainer.test_resume import recipe as sft_recipe
from tests.trainer.test_rl import recipe as rl_recipe
from trainer.cost import Assumption, operations_per_token, probed_flops, sampling_seconds
from trainer.distributed import ALONE, World
from trainer.memory import Layout, activation_bytes, cache_bytes_per_token, layer_bytes_per_token, layout_of, memory
from trainer.model import token_logprobs
from trainer.norms import speed_up_norms
from trainer.room import free_bytes, shortage
from trainer.shape import Shape, published_config, shape_of_init

QWEN3_0_6B = Shape(596_049_920, 28, 1024, 16, 8, 128, 3072, 151_936)


@pytest.mark.parametrize(
    ("model", "expected"),
    [("Qwen/Qwen3-0.6B", 596_049_920), ("Qwen/Qwen3-4B", 4_022_468_096), ("Qwen/Qwen2.5-7B-Instruct", 7_615_616_512)],
)
def test_published_shapes_have_the_published_numbers_of_parameters(model, expected):
    assert Shape.of_config(published_config(model)).num_parameters == expected


def test_a_student_from_nothing_has_the_parameters_of_the_model_that_is_made_of_it():
    table = {"name": "x", "model": "scratch", "seed": 0, "vocab_size": 400, "hidden_size": 32, "num_layers": 2}
    found = shape_of_init(table | {"num_heads": 2, "num_kv_heads": 1, "head_dim": 8, "intermediate_size": 48})
    made = qwen_model(vocab_size=400, num_attention_heads=2, num_key_value_heads=1, head_dim=8, intermediate_size=48)
    assert found == Shape.of_config(made.config)
    assert found.num_parameters == sum(p.numel() for p in made.parameters())
    assert shape_of_init({"name": "x", "model": "someone/else", "revision": "main"}) is None


def test_standing_memory_is_16_bytes_a_parameter_and_is_split():
    whole = memory(QWEN3_0_6B, sft_recipe(), Layout())
    assert whole.standing == 16 * QWEN3_0_6B.num_parameters
    split = memory(QWEN3_0_6B, sft_recipe(), Layout(num_shards=8))
    assert split.standing == 2 * QWEN3_0_6B.num_parameters
    few = memory(QWEN3_0_6B, sft_recipe(), Layout(trained_parameters=1000))
    assert few.standing == 4 * QWEN3_0_6B.num_parameters + 16 * 1000
    anchored = memory(QWEN3_0_6B, rl_recipe(kl_coefficient=0.1), Layout())
    assert anchored.reference == 4 * QWEN3_0_6B.num_parameters


def test_activations_by_hand():
    """Qwen3-0.6B: H 1024, A 2048, K 1024, I 3072."""
    norms, rest = 2 * 1024 + 2048 + 1024, 2 * 1024 + 3 * 2048 + 2 * 1024 + 4 * 3072
    assert layer_bytes_per_token(QWEN3_0_6B, on_gpu=False) == 4 * norms + 4 * rest
    assert layer_bytes_per_token(QWEN3_0_6B, on_gpu=True) == 4 * norms + 2 * rest
    assert activation_bytes(QWEN3_0_6B, 10, False, False) == 28 * 10 * 4 * (norms + rest)
    assert activation_bytes(QWEN3_0_6B, 10, True, False) == 28 * 10 * 4 * 1024 + 10 * 4 * (norms + rest)


def test_the_cache_is_that_of_the_documented_sum():
    """Qwen3-4B: 36 layers x 8 heads x 128 x 2 x 4 bytes."""
    shape = Shape.of_config(published_config("Qwen/Qwen3-4B"))
    assert cache_bytes_per_token(shape) == 36 * 8 * 128 * 2 * 4
    settings = rl_recipe(sampling={"batch_size": 2})
    assert memory(shape, settings, Layout(), 20_480).sampling == 2 * 20_480 * 294_912


def test_sharded_weights_are_gathered_to_sample_and_borrowed_to_train():
    """In bfloat16 on GPUs: the cache halves, 2 bytes a parameter are gathered, embedding, head and a layer are whole."""
    settings = rl_recipe(sharding="full", sampling={"batch_size": 2})
    assert layout_of(QWEN3_0_6B, settings, 8, on_gpu=True) == Layout(8, on_gpu=True)
    assert layout_of(QWEN3_0_6B, rl_recipe(), 8, on_gpu=True) == Layout(1, on_gpu=True)
    parts = memory(QWEN3_0_6B, settings, Layout(8, on_gpu=True), 1000)
    assert parts.sampling == 2 * 1000 * 28 * 8 * 128 * 2 * 2 + 2 * QWEN3_0_6B.num_parameters
    assert parts.low_precision == 2 * (2 * 151_936 * 1024 + QWEN3_0_6B.num_parameters // 28)
    assert memory(QWEN3_0_6B, settings, Layout(1, on_gpu=True), 1000).low_precision == 2 * QWEN3_0_6B.num_parameters


def test_the_peak_is_an_update_s_or_the_sampler_s():
    parts = memory(QWEN3_0_6B, rl_recipe(), Layout(), 100)
    held = parts.weights + parts.optimizer
    assert parts.peak == held + parts.gradients + parts.activations + parts.head
    assert replace(parts, sampling=10**12).peak == held + 10**12


def saved_bytes(checkpointing: bool) -> tuple[int, Shape, int]:
    """What autograd keeps of a forward pass beside the weights, each storage once; the shape; tokens. Rows of equal length,
    for padding is left out of the estimate."""
    model = make_model(hidden_size=64, intermediate_size=192, num_hidden_layers=3, head_dim=16).train()
    speed_up_norms(model)
    if checkpointing:
        model.gradient_checkpointing_enable()
    pack = random_pack(40, seed=2, longest=40)
    pack = pack.take((pack.lengths_N >= 20).nonzero()[:, 0])
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logprobs_T, entropy_T = token_logprobs(model, pack)
    del logprobs_T, entropy_T
    return sum(kept.values()), Shape.of_config(model.config), pack.num_tokens


def test_activations_are_what_autograd_saves_within_a_third():
    found, shape, num_tokens = saved_bytes(checkpointing=False)
    assert activation_bytes(shape, num_tokens, False, False) == pytest.approx(found, rel=0.33)


def test_checkpointed_activations_are_what_autograd_saves_between_layers():
    """One layer in full comes only with the backward pass."""
    found, shape, num_tokens = saved_bytes(checkpointing=True)
    between = activation_bytes(shape, num_tokens, True, False) - num_tokens * layer_bytes_per_token(shape, False)
    assert between == pytest.approx(found, rel=0.5)
    assert found < saved_bytes(checkpointing=False)[0] / 3


def test_operations_are_six_n_eight_with_checkpointing_and_two_for_each_look():
    n = QWEN3_0_6B.num_parameters
    assert operations_per_token(QWEN3_0_6B, sft_recipe()) == 6 * n
    assert operations_per_token(QWEN3_0_6B, sft_recipe(gradient_checkpointing=True)) == 8 * n
    assert operations_per_token(QWEN3_0_6B, rl_recipe(recompute_logprobs=True)) == 8 * n
    assert operations_per_token(QWEN3_0_6B, rl_recipe(kl_coefficient=0.1)) == 10 * n


def test_time_and_price_by_hand():
    assumed = Assumption(flops=1e15, mfu=0.5, num_devices=8, price_per_hour=2.0)
    assert assumed.seconds(4e15 * 3600) == 3600
    assert assumed.price(3600) == 16.0
    assert sampling_seconds(3e9, 1000, 10, 1e9, 2) == 150
    with pytest.raises(ValueError, match="mfu 30 is no share"):
        Assumption(1e15, 30)


def test_the_probe_gives_a_rate_of_this_machine():
    assert 1e8 < probed_flops(1) < 1e14


def test_too_little_memory_is_refused_or_warned_of_with_numbers_and_remedy():
    parts = memory(QWEN3_0_6B, sft_recipe(), Layout())
    assert shortage(parts, parts.peak) is None
    assert "set gradient_checkpointing = true" in (shortage(parts, parts.peak - 1) or "")
    with pytest.raises(
        ValueError, match=r"take 8\.88 GiB on every rank, but 1\.00 GiB are free: set sharding = 'full'"
    ):
        shortage(parts, 2**30)


def test_ranks_of_one_machine_share_its_memory():
    alone = free_bytes(ALONE)
    assert alone > 2**26
    assert free_bytes(World(0, 4)) == pytest.approx(alone / 4, rel=0.2)
