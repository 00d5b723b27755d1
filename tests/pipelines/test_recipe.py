"""Recipes: tables a stage, overrides, and clear words for what is unknown."""

import json
import math
import sys

import pytest

from pipelines import cli
from pipelines.defs.recipe_check import check_recipe, faults_here, trainer_faults, trainer_tables
from pipelines.defs.sft_data import SftDataTable
from pipelines.defs.task_sets import make_tasks
from pipelines.recipe import ACTING, RECIPES, load_recipe
from trainer.methods import METHODS
from trainer.recipe import RlRecipe, check_tables

REQUIRED = {"lr": 1.0, "max_steps": 1, "tasks_per_step": 1, "group_size": 16, "tokens_per_microbatch": 8}
NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_recipe_is_valid_in_every_table(name):
    recipe = load_recipe(name)
    assert list(faults_here(recipe)) == []
    check_tables(trainer_tables(recipe))


@pytest.mark.parametrize("name", ["qwen3_0_6b", "qwen3_4b", "qwen2_5_7b", "open_agentrl_rl"])
@pytest.mark.parametrize("method", ["grpo_t", "grpo_tcr", "grpo_scr", "tao"])
def test_one_setting_chooses_a_published_method_with_all_its_values(name, method):
    recipe = load_recipe(name, [f"rl.method={method}"])
    settings = RlRecipe.model_validate(trainer_tables(recipe)["rl"]).model_dump()
    plain = RlRecipe.model_validate({**trainer_tables(recipe)["rl"], "method": None}).model_dump()
    wanted = RlRecipe.model_validate({**REQUIRED, **METHODS[method]}).model_dump()
    assert {key: settings[key] for key in METHODS[method]} == {key: wanted[key] for key in METHODS[method]}
    assert {key: value for key, value in settings.items() if key not in (*METHODS[method], "method")} == {
        key: value for key, value in plain.items() if key not in (*METHODS[method], "method")
    }


@pytest.mark.parametrize("name", ["qwen3_0_6b", "qwen3_4b", "qwen2_5_7b"])
def test_shipped_recipes_have_the_values_of_the_paper(name):
    """Open-AgentRL (arXiv 2510.11701) as reported: optimizer, sizes, rewards as its code runs but for the call term."""
    recipe = load_recipe(name)
    sft, rl, limits = recipe.table("sft"), recipe.table("rl"), recipe.table("tasks")["limits"]
    assert sft["max_steps"] == math.ceil(5 * 3000 / sft["batch_size"]) == 469
    assert (sft["betas"], sft["weight_decay"], sft["grad_clip"], sft["lr"]) == ([0.9, 0.95], 0.01, 1.0, 1e-5)
    assert sft["warmup_steps"] == round(0.1 * sft["max_steps"])
    assert (rl["tasks_per_step"], rl["group_size"], rl["num_minibatches"], rl["lr"]) == (64, 16, 4, 1e-6)
    assert (rl["reward_correct"], rl["reward_wrong"], rl["overlong_max_tokens"]) == (1.0, -1.0, 20480)
    assert (limits["max_turns"], limits["max_calls"]) == (16, 15)


def test_the_faults_of_all_tables_are_named_at_once():
    """Those of the trainer's tables by the trainer itself, in a process of its own."""
    slips = ["tasks.sed=1", "teacher.engine.error_rate=7", "sft_data.min_rwos=1", "sft.max_step=1", "rl.group_size=1"]
    with pytest.raises(ValueError) as refused:
        check_recipe(load_recipe("embedded", slips), sys.executable)
    message = str(refused.value)
    for words in ("'sed'", "error_rate", "did you mean 'min_rows'", "did you mean 'max_steps'", "group_size = 1"):
        assert words in message, message
    check_recipe(load_recipe("embedded"), sys.executable)


def test_a_trainer_that_does_not_start_is_no_valid_recipe():
    with pytest.raises(ValueError, match="-m trainer check ended with 1"):
        check_recipe(load_recipe("embedded"), "/bin/false")


def test_an_override_changes_one_value():
    recipe = load_recipe("embedded", ["sft.max_steps=7", "init.name=other", "teacher.engine.error_rate=0.5"])
    assert recipe.table("sft")["max_steps"] == 7
    assert recipe.table("init")["name"] == "other"
    assert recipe.table("teacher")["engine"]["error_rate"] == 0.5


def test_launch_keys_do_not_reach_the_process():
    stage = load_recipe("embedded", ["rl.num_gpus=3", "rl.seed=5"]).for_process("rl")
    assert (stage.seed, stage.num_gpus) == (5, 3)
    assert not {"seed", "num_gpus"} & set(json.loads(stage.canonical))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sfd.max_steps=1", r"no table \[sfd\] \(did you mean 'sft'\?\)"),
        ("sft.max_steps", "write stage.key=value"),
        ("max_steps=1", "write stage.key=value"),
    ],
)
def test_a_wrong_override_is_one_message(override, message):
    with pytest.raises(ValueError, match=message):
        load_recipe("embedded", [override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sft_data.min_rwos=1", r"\[sft_data\] has no key 'min_rwos' \(did you mean 'min_rows'\?\)"),
        ("sft_data.max_tokens=many", r"\[sft_data\] max_tokens"),
    ],
)
def test_an_unknown_key_or_a_bad_value_names_the_table_and_the_remedy(override, message):
    with pytest.raises(ValueError, match=message):
        load_recipe("embedded", [override]).parse("sft_data", SftDataTable)


def test_an_unknown_key_of_the_tasks_table_names_the_nearest():
    with pytest.raises(ValueError, match=r"\[tasks\] has no key 'num_trian' \(did you mean 'num_train'\?\)"):
        make_tasks(load_recipe("embedded", ["tasks.num_trian=1"]))


def test_an_unknown_source_of_tasks_names_the_known_ones():
    with pytest.raises(ValueError, match=r"source='embeded' is unknown .did you mean 'embedded'"):
        make_tasks(load_recipe("embedded", ["tasks.source=embeded"]))


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(FileNotFoundError, match="did you mean 'embedded'"):
        load_recipe("embeded")


def test_a_missing_seed_is_refused(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text("[sft]\nlr = 1\n")
    with pytest.raises(ValueError, match=r"\[sft\] seed=None.*add `seed = 0`"):
        load_recipe(str(path)).for_process("sft")


def test_broken_toml_names_the_file(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text("[sft\n")
    with pytest.raises(ValueError, match=r"own.toml is no valid TOML"):
        load_recipe(str(path))


def test_a_dry_run_says_what_sft_and_rl_take_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOOLPATH_DATA", str(tmp_path / "data"))
    words = [
        "run",
        "--recipe",
        "qwen2_5_7b",
        "--dry-run",
        "--set",
        "rl.method=grpo_t",
        "--gpu",
        "H200",
        "--price",
        "3.5",
    ]
    assert cli.main(words) == 0
    sft, rl = capsys.readouterr().out.split("\n\n")
    for part in (sft, rl):
        assert "parameters 7,615,616,512" in part
        assert "weights 3.546, gradients 3.546, optimizer 7.093" in part
        assert "each of 8 GPUs holds 1/8 of it" in part
        assert "8 x H200" in part
        assert "at 3.5 a GPU and hour" in part
    assert "8 N operations" in sft
    assert (
        "12 N operations" in rl
    )  # checkpointing, and two looks: at old log-probabilities and at the reference of its KL
    assert "reference 3.546" in rl
    assert not (tmp_path / "data").exists()


def test_a_dry_run_takes_attempts_as_long_as_the_recipe_allows_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOOLPATH_DATA", str(tmp_path / "data"))
    changes = ["--set", "tasks.limits.max_tokens=9000", "--set", "sft_data.max_tokens=700"]
    assert cli.main(["run", "--recipe", "qwen2_5_7b", "--dry-run", *changes]) == 0
    sft, rl = capsys.readouterr().out.split("\n\n")
    assert "as though each had 700 tokens" in sft
    assert "as though each had 9,000 tokens" in rl
    assert cli.main(["run", "--dry-run"]) == 0
    sft, rl = capsys.readouterr().out.split("\n\n")
    assert "as though each had 320 tokens" in sft
    assert "as though each had 320 tokens" in rl
    assert "sampling: not reckoned on a CPU" in rl


def test_one_sandbox_table_holds_for_every_stage_that_acts_and_a_stages_own_wins():
    changes = ["sandbox.limits.wall_s=9", "sandbox.science=true", "difficulty.sandbox.science=false"]
    changed = load_recipe("embedded", changes)
    stages = {stage: json.loads(changed.for_process(stage).canonical) for stage in (*ACTING, "init")}
    found = {stage: (table.get("sampling", table)).get("sandbox") for stage, table in stages.items()}
    shared = {"limits": {"wall_s": 9}, "science": True}
    assert found == dict.fromkeys(ACTING, shared) | {"difficulty": shared | {"science": False}, "init": None}
    assert list(faults_here(changed)) == []
    (fault, *_) = faults_here(load_recipe("embedded", ["sandbox.limits.wal_s=9"]))
    assert "sandbox.limits.wal_s" in fault
    assert not trainer_faults(changed, sys.executable)
    (told,) = trainer_faults(load_recipe("embedded", ["sandbox.limits.wall_s=-1"]), sys.executable)
    assert "wall_s=-1" in told
