"""The trainer on one CUDA device: skipped, with its reason, where there is none."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tests.trainer.packs import make_model, random_pack
from tests.trainer.test_resume import recipe as sft_recipe
from tests.trainer.test_rl import TASKS, Judged
from tests.trainer.test_rl import recipe as rl_recipe
from trainer import rl, sft
from trainer.aggregation import weights
from trainer.attention import Segments, packed_attention
from trainer.distributed import World, joined
from trainer.learner import Learner
from trainer.metrics import read_metrics
from trainer.optim import make_optimizer
from trainer.sharding import Sharding, place

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch sees none"),
]
PROJECT = Path(__file__).parents[2]
LEFT_BYTES = 64 * 2**20
"""What other programs may take of the device while a test runs."""


def train(folder: Path, world: World, sharding: Sharding) -> None:
    """Three SFT steps and one RL step of the tiny model, in bfloat16 inside."""
    model = place(make_model(), sharding, world)
    learner = Learner(model, make_optimizer(model, 1e-3, (0.9, 0.95), 0.01), world.device, 1.0, world)
    sft.train(learner, random_pack(17, seed=0), sft_recipe(max_steps=3, cooldown_steps=1), 7, folder / "sft")
    rl.train(learner, Judged(learner), TASKS, rl_recipe(max_steps=1, max_refills=20), 3, folder / "rl")


def main(folder: Path) -> None:
    with joined(1) as world:
        train(folder, world, Sharding.REPLICATE)
        group = f"file://{folder}/group"
        dist.init_process_group("cpu:gloo,cuda:nccl", init_method=group, rank=0, world_size=1)
        train(folder / "sharded", world, Sharding.FULL)
        dist.destroy_process_group()


def test_sft_and_rl_steps_run_and_give_the_memory_back(tmp_path):
    torch.cuda.init()
    before, _ = torch.cuda.mem_get_info()
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    program = "import sys, pathlib; from tests.gpu.test_cuda import main; main(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment, cwd=PROJECT, check=True)
    after, _ = torch.cuda.mem_get_info()
    assert before - after < LEFT_BYTES
    for folder in (tmp_path, tmp_path / "sharded"):
        losses = [line["loss"] for line in read_metrics(folder / "sft")]
        assert losses == pytest.approx([line["loss"] for line in read_metrics(tmp_path / "sft")], abs=0.05)
        assert len(losses) == 3
        (line,) = read_metrics(folder / "rl")
        assert line["updates"] > 0
        assert line["nonfinite_steps"] == 0
        assert line["sampler_gap_max"] < 0.1


def test_packed_attention_on_cuda_is_that_of_the_cpu():
    """Fused variable-length kernel in bfloat16 against the grid of sequences in float32."""
    pack, generator = random_pack(7, seed=1), torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, heads, pack.num_tokens, 16, generator=generator) for heads in (4, 2, 2))
    expected, _ = packed_attention(torch.nn.Module(), query, key, value, None, segments=Segments(pack, None))
    q, k, v = (x.to("cuda", torch.bfloat16) for x in (query, key, value))
    found, _ = packed_attention(torch.nn.Module(), q, k, v, None, segments=Segments(pack.to("cuda"), None))
    torch.testing.assert_close(found.float().cpu(), expected, atol=3e-2, rtol=3e-2)


def test_log_probabilities_and_gradients_on_cuda_are_those_of_the_cpu():
    pack = random_pack(7, seed=1)
    pack = replace(pack, weights_T=weights(sft_recipe().aggregation, pack.trained_T, pack.sequence_ids_T))
    results = []
    for device in (torch.device("cpu"), torch.device("cuda", 0)):
        model = make_model().to(device)
        learner = Learner(model, make_optimizer(model, 1e-3, (0.9, 0.95), 0.0), device, 1.0)
        logprobs_T, _ = learner.logprobs(pack.to(device))
        torch.autograd.backward(-(pack.weights_T.to(device) * logprobs_T).sum())
        gradient = torch.cat([p.grad.flatten() for p in model.parameters()]).cpu()
        results.append((logprobs_T.detach().cpu(), gradient))
    (expected_T, expected), (found_T, found) = results
    torch.testing.assert_close(found_T, expected_T, atol=3e-2, rtol=3e-2)
    assert torch.nn.functional.cosine_similarity(found, expected, dim=0) > 0.99
