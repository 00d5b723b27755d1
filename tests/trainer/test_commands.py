"""`python -m trainer`: init and sft from files to files; every mistake is one clear message and leaves nothing behind."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_contracts.attempts import Attempt, Origin, Outcome, Policy, PolicyKind, StopReason
from data_contracts.ids import canonical_json
from data_contracts.manifests import CheckpointManifest, Parent, RunInput, RunKind, RunResult, RunSpec
from data_contracts.messages import Message, Role
from data_contracts.storage import file_entry, read_dataset, verify_files, write_dataset
from data_contracts.tasks import Task
from data_contracts.token_rows import TokenRow
from rollout.checkpoint import load_model, read_checkpoint_manifest
from rollout.process import guarded
from rollout.rendering import Renderer
from rollout.rows import rendered_rows
from tests.tiny import make_task
from trainer import __main__ as cli
from trainer.runs import spec_from_flags
from trainer.student import train_tokenizer

RECIPE = """
[init]
seed = 3
name = "tiny"
model = "scratch"
vocab_size = 400
hidden_size = 32
num_layers = 2
num_heads = 2
num_kv_heads = 1
head_dim = 8
intermediate_size = 48

[sft]
seed = 4
lr = 3e-3
max_steps = 6
batch_size = 4
tokens_per_microbatch = 2048

[rl]
seed = 5
lr = 1e-3
max_steps = 2
tasks_per_step = 2
group_size = 2
max_refills = 0
tokens_per_microbatch = 2048
sampling = {max_turn_tokens = 8}
"""


def recorded(number: int, task: Task) -> Attempt:
    """A recorded attempt without calls."""
    policy = Policy(kind=PolicyKind.TEACHER, name="t", revision="1")
    return Attempt(
        key=Attempt.make_key(task.key, number, policy, "s", number),
        task_key=task.key,
        index=number,
        policy=policy,
        spec_hash="s",
        seed=number,
        origin=Origin.RENDERED,
        tokenizer_id=None,
        messages=(*task.messages, Message(role=Role.ASSISTANT, content=f"The answer is {number}.")),
        turns=(),
        stop=StopReason.END,
        final_answer=str(number),
        outcome=Outcome.CORRECT,
        source="test",
        domain="sums",
        licence="Apache-2.0",
    )


def command(*words: object) -> int:
    return guarded(lambda: cli.main([str(word) for word in words]))


class House:
    """Datasets and checkpoints on disk, made once."""

    def __init__(self, root: Path) -> None:
        self.root, self.recipe = root, root / "recipe.toml"
        self.recipe.write_text(RECIPE)
        tasks = [make_task(f"What is {i} plus {i}?", str(2 * i)) for i in range(12)]
        attempts = [recorded(i, task) for i, task in enumerate(tasks)]
        self.tasks, _ = write_dataset(root, "tasks", tasks, Task)
        self.attempts, _ = write_dataset(root, "attempts", attempts, Attempt)
        words = ("--attempts", self.attempts, "--tasks", self.tasks, "--out", root / "init")
        assert command("init", "--recipe", self.recipe, *words) == 0
        self.init = root / "init" / "checkpoint"
        self.tokenizer = AutoTokenizer.from_pretrained(self.init)
        renderer = Renderer(self.tokenizer)
        rows = [row for a, t in zip(attempts, tasks, strict=True) for row in rendered_rows(a, t.tools, renderer)]
        self.rows, self.rows_manifest = write_dataset(root, "rows", rows, TokenRow)

    def sft(self, out: Path, *more: object) -> int:
        words = ("--dataset", self.rows, "--checkpoint", self.init, "--out", out)
        return command("sft", "--recipe", self.recipe, *words, *more)


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> House:
    return House(tmp_path_factory.mktemp("house"))


def test_init_is_a_complete_qwen3_checkpoint(house):
    manifest = read_checkpoint_manifest(house.init)
    assert (manifest.name, manifest.method) == ("tiny", "init")
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= {
        f.path for f in manifest.files
    }
    assert [p.name for p in manifest.parents] == ["tasks", "attempts"]
    model, tokenizer = load_model(house.init)
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert model.config.vocab_size == len(tokenizer) <= 400
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert Renderer(tokenizer).tokenizer_id == manifest.tokenizer_id


def test_control_tokens_are_qwen3_s(house):
    tokenizer = house.tokenizer
    special = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}
    shown = {"<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"}
    added = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
    assert {name for name, token in added.items() if token.special} == special
    assert {name for name, token in added.items() if not token.special} == shown
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert all(len(tokenizer.encode(name)) == 1 for name in added)


def test_the_tokenizer_gives_back_any_text_and_splits_digits(house):
    text = "Zoë's 1234 jars\n\n\t~{\"a\": 'ü'} 😀"
    ids = house.tokenizer.encode(text)
    assert house.tokenizer.decode(ids) == text
    digits = [house.tokenizer.decode([i]) for i in house.tokenizer.encode("1234")]
    assert digits == ["1", "2", "3", "4"]


def test_frequent_phrases_are_single_tokens():
    texts = [f"<|im_start|>assistant\nThe answer is {i}.<|im_end|>" for i in range(40)]
    tokenizer = train_tokenizer(texts, vocab_size=320, min_frequency=2, max_positions=64)
    assert len(tokenizer.encode("The answer is ")) == 1
    assert len(tokenizer.encode(texts[7])) == 7  # marker, role, line end, phrase, digit, full stop, marker


def test_with_word_boundaries_no_token_crosses_words():
    texts = [f"<|im_start|>assistant\nThe answer is {i}.<|im_end|>" for i in range(40)]
    tokenizer = train_tokenizer(texts, vocab_size=320, min_frequency=2, max_positions=64, word_boundaries=True)
    ids = tokenizer.encode("The answer is 12")
    assert [tokenizer.decode([i]) for i in ids] == ["The", " answer", " is", " ", "1", "2"]


def test_equal_inputs_give_equal_checkpoints_and_another_seed_another(house, tmp_path):
    words = ("init", "--recipe", house.recipe, "--attempts", house.attempts, "--tasks", house.tasks)
    assert command(*words, "--out", tmp_path / "again") == 0
    assert command(*words, "--out", tmp_path / "other", "--seed", 9) == 0
    hashes = {
        read_checkpoint_manifest(f / "checkpoint").content_hash for f in (tmp_path / "again", house.root / "init")
    }
    assert len(hashes) == 1
    assert read_checkpoint_manifest(tmp_path / "other" / "checkpoint").content_hash not in hashes


def test_a_pretrained_folder_comes_into_the_same_layout(house, tmp_path):
    recipe = tmp_path / "pretrained.toml"
    recipe.write_text(f'[init]\nseed = 0\nname = "copy"\nmodel = "{house.init}"\n')
    assert command("init", "--recipe", recipe, "--out", tmp_path / "out") == 0
    manifest = read_checkpoint_manifest(tmp_path / "out" / "checkpoint")
    assert manifest.tokenizer_id == read_checkpoint_manifest(house.init).tokenizer_id
    first, second = (AutoModelForCausalLM.from_pretrained(f) for f in (house.init, tmp_path / "out" / "checkpoint"))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_sft_from_flags_writes_checkpoint_metrics_and_result(house, tmp_path, capsys):
    assert house.sft(tmp_path) == 0
    manifest = CheckpointManifest.from_json((tmp_path / "checkpoint" / "manifest.json").read_text())
    verify_files(tmp_path / "checkpoint", manifest.files)
    assert (manifest.method, manifest.num_steps, manifest.name) == ("sft", 6, "tiny")
    assert {p.name for p in manifest.parents} == {"dataset", "checkpoint"}
    result = RunResult.from_json((tmp_path / "result.json").read_text())
    assert result.outputs[0].content_hash == manifest.content_hash
    assert json.loads(result.metrics)["steps"] == 6
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 6
    assert json.loads((tmp_path / "recipe.json").read_text())["max_steps"] == 6
    before = (tmp_path / "result.json").stat().st_mtime_ns
    assert house.sft(tmp_path) == 0  # complete: nothing is done again
    assert (tmp_path / "result.json").stat().st_mtime_ns == before
    assert "[sft] 6/6" in capsys.readouterr().err


def test_a_spec_file_gives_the_same_as_flags(house, tmp_path):
    assert house.sft(tmp_path / "flags") == 0
    table = {"lr": 3e-3, "max_steps": 6, "batch_size": 4, "tokens_per_microbatch": 2048}
    inputs = {"dataset": house.rows, "checkpoint": house.init}
    spec = spec_from_flags(RunKind.SFT, canonical_json(table), inputs, tmp_path / "spec", 4, 0)
    (tmp_path / "spec.json").write_text(spec.canonical())
    assert command("sft", "--spec", tmp_path / "spec.json") == 0
    first, second = (read_checkpoint_manifest(tmp_path / name / "checkpoint") for name in ("flags", "spec"))
    assert first.content_hash == second.content_hash


def test_rl_runs_from_a_base_model_with_the_real_sandbox(house, tmp_path):
    words = ("--tasks", house.tasks, "--checkpoint", house.init, "--out", tmp_path)
    assert command("rl", "--recipe", house.recipe, *words) == 0
    assert read_checkpoint_manifest(tmp_path / "checkpoint").method == "rl"
    assert len(list((tmp_path / "attempts").glob("step-*.parquet"))) == 2


def complaint(capsys, code: int) -> str:
    assert code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    return last


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("learning_rate=1", ["learning_rate", "valid keys: lr, max_steps"]),
        ("max_step=1", ["'max_step'", "did you mean 'max_steps'?"]),
        ("sampling.temprature=1", ["did you mean 'sampling.temperature'?"]),
        ("lr=-1", ["lr", "-1", "greater than 0"]),
        ("lr=quick", ["lr", "quick"]),
        ("cooldown_steps=3", ["cooldown_steps 3", "wsd"]),
        ("batch_size", ["batch_size", "key=value"]),
        ("eval_every=2", ["eval_tasks"]),
        ("tokens_per_microbatch=16", ["tokens", "16", "tokens_per_microbatch"]),
        ("num_gpus=7", ["num_gpus 7"]),
    ],
)
def test_a_bad_recipe_is_named_and_nothing_is_written(house, tmp_path, capsys, change, words):
    message = complaint(capsys, house.sft(tmp_path / "out", "--set", change))
    assert all(word in message for word in words), message
    assert not (tmp_path / "out").exists()


def test_a_missing_key_without_default_is_named(house, tmp_path, capsys):
    recipe = tmp_path / "r.toml"
    recipe.write_text("[sft]\nseed = 0\nlr = 1e-3\n")
    words = ("--dataset", house.rows, "--checkpoint", house.init, "--out", tmp_path / "out")
    message = complaint(capsys, command("sft", "--recipe", recipe, *words))
    assert "'max_steps' is missing" in message
    assert "'batch_size' is missing" in message


def test_a_run_without_seed_is_refused(house, tmp_path, capsys):
    recipe = tmp_path / "r.toml"
    recipe.write_text("[sft]\nlr = 1e-3\n")
    assert "no seed" in complaint(capsys, command("sft", "--recipe", recipe, "--out", tmp_path / "out"))


def test_changed_data_is_refused(house, tmp_path, capsys):
    wrong = RunInput(name="dataset", path=str(house.rows), content_hash="0" * 32)
    checkpoint = RunInput(
        name="checkpoint", path=str(house.init), content_hash=read_checkpoint_manifest(house.init).content_hash
    )
    recipe = canonical_json({"lr": 1e-3, "max_steps": 1, "batch_size": 1, "tokens_per_microbatch": 512})
    spec = RunSpec(kind=RunKind.SFT, recipe=recipe, inputs=(wrong, checkpoint), output=str(tmp_path / "out"), seed=0)
    (tmp_path / "spec.json").write_text(spec.canonical())
    message = complaint(capsys, command("sft", "--spec", tmp_path / "spec.json"))
    assert house.rows_manifest.content_hash in message
    assert not (tmp_path / "out").exists()


def test_a_tracker_that_is_not_installed_is_named_before_anything_is_written(house, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TOOLPATH_TRACKERS", "tensorboard, nowhere")
    assert "names nowhere: use any of tensorboard" in complaint(capsys, house.sft(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_trackers_of_the_recipe_are_told(house, tmp_path):
    assert house.sft(tmp_path / "none", "--set", "trackers=[]") == 0
    assert house.sft(tmp_path / "board", "--set", 'trackers=["tensorboard"]') == 0
    assert not (tmp_path / "none" / "tensorboard").exists()
    assert any((tmp_path / "board" / "tensorboard").iterdir())


def test_rows_of_another_tokenizer_are_refused(house, tmp_path, capsys):
    words = ("--attempts", house.attempts, "--out", tmp_path / "init")
    assert command("init", "--recipe", house.recipe, *words, "--set", "vocab_size=305") == 0
    other = ("--dataset", house.rows, "--checkpoint", tmp_path / "init" / "checkpoint", "--out", tmp_path / "out")
    assert "tokenizer" in complaint(capsys, command("sft", "--recipe", house.recipe, *other))


def test_a_run_goes_on_with_no_other_version_of_the_difficulty(house, tmp_path, capsys):
    """The same tasks, chosen by another measurement: its version is a parent of the RL dataset, and so part of the run."""
    tasks = read_dataset(house.tasks, Task)
    versions = [
        write_dataset(tmp_path, "rl_dataset", tasks, Task, (Parent(name="task_difficulty", content_hash=version),))
        for version in ("a" * 32, "b" * 32)
    ]
    (first, one), (second, other) = versions
    assert one.files == other.files
    words = ("--recipe", house.recipe, "--checkpoint", house.init, "--out", tmp_path / "out")
    assert command("rl", *words, "--tasks", first) == 0
    assert "belongs to another run" in complaint(capsys, command("rl", *words, "--tasks", second))
    manifest = read_checkpoint_manifest(tmp_path / "out" / "checkpoint")
    assert one.content_hash in {parent.content_hash for parent in manifest.parents}


def test_data_of_another_contract_are_refused_with_both_names(house, tmp_path, capsys):
    words = ("--dataset", house.tasks, "--checkpoint", house.init, "--out", tmp_path / "out")
    message = complaint(capsys, command("sft", "--recipe", house.recipe, *words))
    assert "holds task@" in message
    assert "but token_row@" in message
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_recipe_is_refused(house, tmp_path, capsys):
    assert house.sft(tmp_path) == 0
    assert "belongs to another run" in complaint(capsys, house.sft(tmp_path, "--set", "lr=1e-4"))


def test_a_model_that_no_memory_holds_is_refused_before_it_is_loaded(house, tmp_path, capsys):
    """A config of 10^13 parameters beside the weights of a tiny model, under a manifest that is right."""
    folder = tmp_path / "huge"
    shutil.copytree(house.init, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 10**11, "num_hidden_layers": 2}))
    old = read_checkpoint_manifest(house.init)
    files = tuple(file_entry(folder, folder / entry.path) for entry in old.files)
    fields = {name: getattr(old, name) for name in ("name", "method", "tokenizer_id", "parents", "recipe", "num_steps")}
    (folder / "manifest.json").write_text(CheckpointManifest.create(files=files, **fields).canonical())
    words = ("--dataset", house.rows, "--checkpoint", folder, "--out", tmp_path / "out")
    message = complaint(capsys, command("sft", "--recipe", house.recipe, *words))
    assert "weights, gradients and optimizer take" in message
    assert "take a smaller model" in message


def test_a_folder_of_another_run_is_refused(house, tmp_path, capsys):
    assert house.sft(tmp_path) == 0
    assert "belongs to another run" in complaint(capsys, house.sft(tmp_path, "--seed", 99))


@pytest.mark.parametrize("name", ["dataset", "checkpoint"])
def test_a_folder_that_is_not_there_is_named(house, tmp_path, capsys, name):
    inputs = {"dataset": house.rows, "checkpoint": house.init, name: tmp_path / "nowhere"}
    words = [word for key, folder in inputs.items() for word in (f"--{key}", folder)]
    assert "nowhere" in complaint(capsys, command("sft", "--recipe", house.recipe, *words, "--out", tmp_path / "out"))


def test_a_model_path_that_is_not_there_is_named(house, tmp_path, capsys):
    recipe = tmp_path / "r.toml"
    recipe.write_text('[init]\nseed = 0\nname = "x"\nmodel = "/no/such/model"\nrevision = "main"\n')
    assert "/no/such/model" in complaint(capsys, command("init", "--recipe", recipe, "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_tasks_without_a_verifier_are_refused_by_rl(house, tmp_path, capsys):
    tasks, _ = write_dataset(tmp_path, "tasks", [make_task("Who?", None)], Task)
    words = ("--tasks", tasks, "--checkpoint", house.init, "--out", tmp_path / "out")
    assert "1 of 1 tasks have no verifier" in complaint(capsys, command("rl", "--recipe", house.recipe, *words))


def test_a_dry_run_tells_sizes_and_writes_nothing(house, tmp_path, capsys):
    assert house.sft(tmp_path / "out", "--dry-run") == 0
    printed = capsys.readouterr().out
    parameters = sum(p.numel() for p in load_model(house.init)[0].parameters())
    assert f"parameters {parameters:,}" in printed
    assert f"rows {house.rows_manifest.num_rows}" in printed
    assert not (tmp_path / "out").exists()
    words = ("--checkpoint", house.init, "--tasks", house.tasks, "--out", tmp_path / "out", "--dry-run")
    assert command("rl", "--recipe", house.recipe, *words) == 0
    printed = capsys.readouterr().out
    assert "12 tasks; 2 steps of 2 x 2 attempts: 8" in printed
    assert "GPUs" not in printed
    for sharding, words_of_it in (("replicate", "holds all of it"), ("full", "holds 1/8 of it")):
        changes = ("--set", "num_gpus=8", "--set", f"sharding={sharding}")
        assert command("rl", "--recipe", house.recipe, *words, *changes) == 0
        assert f"each of 8 GPUs {words_of_it}" in capsys.readouterr().out


def test_a_dry_run_on_gpus_tells_memory_time_and_price(house, tmp_path, capsys):
    words = ("--tasks", house.tasks, "--out", tmp_path / "out", "--dry-run", "--set", "num_gpus=8")
    assert command("rl", "--recipe", house.recipe, *words, "--gpu", "H200", "--mfu", "0.5", "--price", "3.5") == 0
    printed = capsys.readouterr().out
    assert "each of 8 GPUs holds all of it: about" in printed
    assert "with sharding = 'full' about" in printed
    assert "if 50% of 8 x H200 of 989 TFLOP/s is reached (6 N operations a token, 4,800 tokens)" in printed
    assert "price: about 0.00 at 3.5 a GPU and hour" in printed
    assert not (tmp_path / "out").exists()
    assert command("rl", "--recipe", house.recipe, *words, "--mfu", "50") == 2
    assert "mfu 50.0 is no share" in capsys.readouterr().err
