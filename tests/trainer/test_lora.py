"""Adapters: the base at the start, the closed form's gradient, PEFT's file, the merged model; the base never moves."""

import json
from copy import deepcopy
from math import prod

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.distributed.checkpoint.filesystem import FileSystemReader
from transformers import AutoModelForCausalLM

from tests.trainer.packs import make_learner, make_model, random_pack
from tests.trainer.test_commands import House, command, complaint
from tests.trainer.test_resume import STEPS, Stop, lines, recipe, stop_at
from trainer import sft
from trainer.checkpoints import TENSORS, export_checkpoint
from trainer.distributed import ALONE
from trainer.estimate import GIB
from trainer.learner import Learner
from trainer.lora import (
    LoraLinear,
    LoraRecipe,
    adapters_off,
    add_adapters,
    merged_state,
    num_adapter_parameters,
    save_adapter,
    target_linears,
)
from trainer.model import load_model, token_logprobs
from trainer.optim import make_optimizer
from trainer.sharding import whole_weights
from trainer.tensor_store import stored_shapes

SMALL = LoraRecipe(rank=4, alpha=8)
BASE = "sha-of-the-base"


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> House:
    return House(tmp_path_factory.mktemp("house"))


def adapted(seed: int = 1, lora: LoraRecipe = SMALL, moved: bool = False):
    """The tiny model with adapters; `moved`, with random ones, as after training."""
    model = make_model(seed)
    add_adapters(model, lora, 0, BASE)
    if moved:
        g = torch.Generator().manual_seed(2)
        for p in trained(model):
            p.data.normal_(0, 0.2, generator=g)
    return model


def trained(model) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def lora_learner(seed: int = 0) -> Learner:
    model = make_learner().model
    add_adapters(model, SMALL, seed, BASE)
    return Learner(model, make_optimizer(model, 1e-2, (0.9, 0.95), 0.01), torch.device("cpu"), grad_clip=1.0)


def test_it_starts_as_the_base_bit_for_bit():
    pack = random_pack(6, seed=3)
    for ours, base in zip(token_logprobs(adapted(), pack), token_logprobs(make_model(1), pack), strict=True):
        assert torch.equal(ours, base)
    assert not torch.equal(token_logprobs(adapted(moved=True), pack)[0], token_logprobs(make_model(1), pack)[0])


def test_gradients_are_the_closed_form():
    """y = (W + s B A) x, so dB = s G x' A' and dA = s B' G x', with G the gradient by y."""
    g = torch.Generator().manual_seed(0)
    linear = LoraLinear(nn.Linear(5, 3), LoraRecipe(rank=2, alpha=3), BASE, g)
    linear.lora_b_OR.data.normal_(generator=g)
    x, up = torch.randn(7, 5, generator=g), torch.randn(7, 3, generator=g)
    a, b, s = linear.lora_a_RI.detach(), linear.lora_b_OR.detach(), 1.5
    out = linear(x)
    torch.testing.assert_close(out, x @ (linear.weight + s * b @ a).T + linear.bias)
    grads = torch.autograd.grad((out * up).sum(), (linear.lora_a_RI, linear.lora_b_OR))
    torch.testing.assert_close(grads, (s * b.T @ up.T @ x, s * up.T @ x @ a.T))


def test_only_adapters_train_and_the_base_stays_as_it_was():
    learner, pack = lora_learner(), random_pack(9, seed=4)
    before = deepcopy(learner.model.state_dict())
    for _ in range(3):
        figures = sft.train_step(learner, pack, 1e-2, 64)
    after = learner.model.state_dict()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved == {name for name, p in learner.model.named_parameters() if p.requires_grad}
    assert figures["gradient_norm"] > 0
    in_optimizer = [p for group in learner.optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in in_optimizer} == {id(p) for p in trained(learner.model)}


def test_gradient_checkpointing_changes_no_gradient():
    pack, grads = random_pack(5, seed=6), []
    for checkpointing in (False, True):
        model = adapted(moved=True).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        token_logprobs(model, pack)[0].sum().backward()
        grads.append([p.grad for p in trained(model)])
    torch.testing.assert_close(grads[0], grads[1], atol=1e-6, rtol=0)


def test_the_reference_is_the_model_without_adapters():
    pack, learner = random_pack(6, seed=3), lora_learner()
    sft.train_step(learner, pack, 1e-2, 64)
    base = make_learner().logprobs(pack)[0]
    assert torch.equal(learner.reference_logprobs(pack, 1.0), base)
    assert not torch.equal(learner.logprobs(pack)[0], base)
    with pytest.raises(KeyError), adapters_off(learner.model):
        raise KeyError
    assert not torch.equal(learner.logprobs(pack)[0], base)


def test_targets_are_chosen_by_name():
    model = make_model(1)
    assert {name.rpartition(".")[2] for name in target_linears(model, SMALL)} == {
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    }
    few = LoraRecipe(rank=4, alpha=8, targets=("q_proj", "v_proj"))
    assert len(target_linears(model, few)) == 2 * 2  # two layers
    assert sum(p.numel() for p in trained(adapted(lora=few))) == num_adapter_parameters(model, few)
    with pytest.raises(ValueError, match=r"wq.*it has down_proj, gate_proj"):
        add_adapters(model, LoraRecipe(rank=4, alpha=8, targets=("wq",)), 0, BASE)


def test_the_export_is_the_merged_model(tmp_path, house):
    model, pack = adapted(moved=True), random_pack(6, seed=3)
    settings = {"name": "n", "method": "sft", "parents": (), "recipe": "{}", "num_steps": 1}
    weights = whole_weights(model, ALONE)
    manifest = export_checkpoint(tmp_path / "out", model, house.tokenizer, weights, **settings)
    assert {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"} <= {f.path for f in manifest.files}
    plain = load_model(tmp_path / "out")
    assert not any(isinstance(module, LoraLinear) for module in plain.modules())
    ours, theirs = token_logprobs(model, pack)[0], token_logprobs(plain, pack)[0]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in make_model(1).parameters())


def test_peft_reads_the_adapter(tmp_path):
    import peft

    model, pack = adapted(moved=True, lora=LoraRecipe(rank=3, alpha=5)), random_pack(6, seed=3)
    weights = whole_weights(model, ALONE)
    save_adapter(model, weights, tmp_path / "adapter")
    theirs = peft.PeftModel.from_pretrained(make_model(1), tmp_path / "adapter")
    expected = token_logprobs(theirs.get_base_model(), pack)[0]
    torch.testing.assert_close(token_logprobs(model, pack)[0], expected, atol=1e-6, rtol=0)
    merged = theirs.merge_and_unload().state_dict()
    torch.testing.assert_close(merged_state(model, weights), dict(merged), atol=1e-6, rtol=0)


def test_a_resumed_run_is_the_unbroken_one_and_its_states_hold_no_base(tmp_path):
    rows, settings = random_pack(17, seed=0), recipe(eval_every=1, plateau_patience=50)
    straight, first, second = lora_learner(), lora_learner(), lora_learner(seed=5)
    sft.train(straight, rows, settings, 7, tmp_path / "straight", lambda step: step / 100)
    with pytest.raises(Stop):
        sft.train(first, rows, settings, 7, tmp_path / "cut", stop_at(5))
    sft.train(second, rows, settings, 7, tmp_path / "cut", lambda step: step / 100)
    assert lines(tmp_path / "straight") == lines(tmp_path / "cut")
    for one, other in zip(trained(straight.model), trained(second.model), strict=True):
        assert torch.equal(one, other)
    reader = FileSystemReader(tmp_path / "cut" / "state" / f"step-{STEPS:08d}" / TENSORS)
    saved = [prod(shape) for name, shape in stored_shapes(reader).items() if name.startswith("model.")]
    assert sum(saved) == num_adapter_parameters(make_model(), SMALL)


def test_a_state_of_another_base_or_of_no_adapters_is_refused(tmp_path):
    rows, settings = random_pack(9, seed=0), recipe(max_steps=6)
    sft.train(lora_learner(), rows, settings, 7, tmp_path)
    other = make_learner()
    add_adapters(other.model, SMALL, 0, "another")
    other.optimizer = make_optimizer(other.model, 1e-2, (0.9, 0.95), 0.01)
    for learner in (other, make_learner()):
        with pytest.raises(ValueError, match=f"over the base {BASE}, but this run trains .*another output folder"):
            sft.train(learner, rows, settings, 7, tmp_path)


def test_sft_and_rl_with_adapters_from_files_to_files(house, tmp_path, capsys):
    words = ("--set", "lora.rank=4", "--set", "lora.alpha=8")
    assert house.sft(tmp_path / "sft", *words) == 0
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "sft" / "checkpoint").state_dict()
    base = AutoModelForCausalLM.from_pretrained(house.init).state_dict()
    moved = {name for name in base if not torch.equal(base[name], found[name])}
    assert moved
    assert all("_proj." in name for name in moved)
    rl = ("--tasks", house.tasks, "--checkpoint", tmp_path / "sft" / "checkpoint", "--out", tmp_path / "rl")
    assert command("rl", "--recipe", house.recipe, *rl, *words, "--set", "kl_coefficient=0.1") == 0
    tensors = load_file(tmp_path / "rl" / "checkpoint" / "adapter" / "adapter_model.safetensors")
    assert len(tensors) == 2 * 7 * 2  # layers, linear maps of each, A and B
    config = json.loads((tmp_path / "rl" / "checkpoint" / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 8.0, 0.0)


def test_the_estimate_counts_what_is_trained(house, tmp_path, capsys):
    assert house.sft(tmp_path, "--set", "lora.rank=4", "--set", "lora.alpha=8", "--dry-run") == 0
    model = load_model(house.init)
    added, there = num_adapter_parameters(model, SMALL), sum(p.numel() for p in model.parameters())
    text = capsys.readouterr().out
    assert f"parameters {there + added:,}, of which trained {added:,}\n" in text
    assert f"weights {4 * (there + added) / GIB:.3f}" in text
    assert f"optimizer {8 * added / GIB:.3f}" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("lora.rank=0", ["lora.rank", "0"]),
        ("lora.rnk=4", ["did you mean 'lora.rank'?"]),
        ('lora={rank = 4, alpha = 8, targets = ["wq"]}', ["wq", "q_proj"]),
    ],
)
def test_a_bad_table_is_named(house, tmp_path, capsys, change, words):
    message = complaint(capsys, house.sft(tmp_path / "out", "--set", change))
    assert all(word in message for word in words), message
    assert not (tmp_path / "out").exists()
