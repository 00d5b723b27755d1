"""A sharded model in one process, a group of one: what weights are inside and outside a forward pass."""

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from tests.trainer.packs import make_learner, make_model, random_pack
from tests.trainer.test_resume import recipe
from trainer import sft, sharding
from trainer.distributed import ALONE
from trainer.learner import Learner
from trainer.metrics import read_metrics
from trainer.optim import make_optimizer
from trainer.sharding import Sharding, gathered, place, precision_on, weights_of, whole_weights, within_forward

CUDA_PRECISION = precision_on(torch.device("cuda"))


@pytest.fixture(autouse=True)
def _group_of_one(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def sharded_learner() -> Learner:
    model = place(make_model(), Sharding.FULL, ALONE)
    return Learner(model, make_optimizer(model, 1e-3, (0.9, 0.95), 0.01), ALONE.device, 1.0)


def test_weights_are_shares_outside_and_whole_inside(tmp_path):
    model = place(make_model(), Sharding.FULL, ALONE)
    layer = model.model.layers[1].mlp.up_proj
    assert {type(w) for w in weights_of(model).values()} == {DTensor}
    assert not within_forward(model, lambda: isinstance(model.lm_head.weight, DTensor))
    with gathered(model):
        assert not any(isinstance(w, DTensor) for w in model.parameters())
        with torch.no_grad():
            model(input_ids=torch.tensor([[1, 2, 3]]))
        assert not isinstance(layer.weight, DTensor)
    assert all(isinstance(w, DTensor) for w in model.parameters())


def test_whole_weights_are_those_of_the_plain_model_and_shared_ones_stay_shared():
    plain = make_model()
    whole = whole_weights(place(make_model(), Sharding.FULL, ALONE), ALONE)
    assert whole.keys() == plain.state_dict().keys()
    assert all(torch.equal(whole[name], weight) for name, weight in plain.state_dict().items())
    assert whole["lm_head.weight"] is whole["model.embed_tokens.weight"]


def test_on_cuda_weights_compute_in_half_precision_and_are_kept_and_summed_in_full(tmp_path, monkeypatch):
    """The precision of CUDA on a CPU, where it only takes longer."""
    monkeypatch.setattr(sharding, "precision_on", lambda device: CUDA_PRECISION)
    learner, pack = sharded_learner(), random_pack(17, seed=0)
    assert within_forward(learner.model, lambda: learner.model.lm_head.weight.dtype) is torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        (learner.logprobs(pack)[0] * pack.weights_T).sum().backward()
    assert {w.grad.dtype for w in learner.model.parameters()} == {torch.float32}
    learner.optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        sft.train(learner, pack, recipe(), 7, tmp_path / "half")
    sft.train(make_learner(), pack, recipe(), 7, tmp_path / "full")
    assert {w.dtype for w in weights_of(learner.model).values()} == {torch.float32}
    half, full = ([line["loss"] for line in read_metrics(tmp_path / name)] for name in ("half", "full"))
    assert half == pytest.approx(full, abs=0.05)
    assert full[0] - full[-1] > 0.2


def test_a_model_without_decoder_layers_is_refused():
    with pytest.raises(ValueError, match="Linear has no decoder layers to shard by: set sharding = 'replicate'"):
        place(torch.nn.Linear(2, 2), Sharding.FULL, ALONE)
