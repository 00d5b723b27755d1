"""RL from a base model, without SFT: the steps, and a real walk of a tiny recipe."""

import dagster as dg
import pytest

from data_contracts.manifests import RunInput
from pipelines.defs.walk import steps_of, walk
from pipelines.launchers.local import LocalLauncher
from pipelines.recipe import Recipe, load_recipe
from pipelines.resources import DatasetStore, RecipeResource
from pipelines.store import Store, checkpoint_manifest
from tests.pipelines.conftest import TINY
from tests.tiny import qwen_model, qwen_tokenizer

STEPS = ["tasks", "base_checkpoint", "student_attempts", "task_difficulty", "rl_dataset", "rl_checkpoint"]
WITHOUT = ("sft", "sft_data", "teacher", "evaluation", "publish")


def test_a_recipe_without_sft_has_these_steps():
    assert [step.name for step in steps_of(load_recipe("open_agentrl_rl"))] == STEPS


@pytest.mark.parametrize("override", ["rl_data.start=sft", "init.model=scratch"])
def test_a_start_that_the_walk_never_makes_is_refused(override):
    with pytest.raises(ValueError, match=r"no \[sft\], but \[rl_data\] start=.*RL without SFT starts from"):
        steps_of(load_recipe("open_agentrl_rl", [override]))


@pytest.fixture
def recipe(tmp_path) -> Recipe:
    """The embedded tasks and a folder with a pretrained model, in a file of its own."""
    model = tmp_path / "model"
    qwen_model().save_pretrained(model)
    qwen_tokenizer().save_pretrained(model)
    tables = load_recipe(
        "embedded", [change for change in TINY if change.split(".")[0] not in ("init", *WITHOUT)]
    ).tables
    kept = {name: table for name, table in tables.items() if name not in WITHOUT}
    kept["init"] = {"seed": 0, "name": "tiny", "model": str(model)}
    kept["rl_data"]["start"] = "base"
    path = tmp_path / "own.toml"
    path.write_text(
        "\n".join(f"[{name}]\n" + "\n".join(f"{k} = {toml(v)}" for k, v in t.items()) for name, t in kept.items())
    )
    return load_recipe(str(path))


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def test_rl_trains_the_base_model(tmp_path, recipe):
    resources = {
        "store": DatasetStore(root=str(tmp_path / "data")),
        "recipe": RecipeResource(name=str(tmp_path / "own.toml")),
        "launcher": LocalLauncher(),
    }
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        results = list(walk(steps_of(recipe), recipe, resources, instance))
    assert [result.error for result in results] == [None] * len(STEPS)
    store = Store(tmp_path / "data")
    base: RunInput = store.latest("base_checkpoint")
    trained = checkpoint_manifest(store.latest("rl_checkpoint"))
    assert trained.method == "rl"
    assert base.content_hash in {parent.content_hash for parent in trained.parents}
    assert not store.has("sft_checkpoint")
