"""Recipes: tables a stage, overrides, and clear words for what is unknown."""

import json

import pytest

from pipelines.defs.publish import PublishTable
from pipelines.defs.rl_data import RlDataTable
from pipelines.defs.sft_data import SftDataTable
from pipelines.defs.task_sets import make_tasks
from pipelines.recipe import RECIPES, load_recipe
from rollout.recipe import EvaluateRecipe, SampleRecipe
from trainer.recipe import InitRecipe, RlRecipe, SftRecipe

NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))
TABLES = {
    "teacher": SampleRecipe,
    "init": InitRecipe,
    "sft": SftRecipe,
    "difficulty": SampleRecipe,
    "rl": RlRecipe,
    "evaluation": EvaluateRecipe,
}


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_recipe_is_valid_in_every_table(name):
    recipe = load_recipe(name)
    for stage, model in TABLES.items():
        if stage in recipe.tables:
            fields = {"label": "sft"} if stage == "evaluation" else {}
            model.model_validate_json(recipe.for_process(stage, **fields).canonical)
    recipe.parse("sft_data", SftDataTable)
    recipe.parse("publish", PublishTable)
    if "rl" in recipe.tables:
        recipe.parse("rl_data", RlDataTable)


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
