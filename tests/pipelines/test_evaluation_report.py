"""The evaluation report with suites beside our own held-out tasks: real models and tools, in this process."""

import json
import re
from pathlib import Path

import dagster as dg
import pytest

from data_contracts.attempts import Attempt
from data_contracts.decisions import Decision, Reason, Verdict
from data_contracts.manifests import CheckpointManifest, EvaluationRow, RunInput, RunResult, RunSpec
from data_contracts.overlaps import Overlap
from data_contracts.storage import MANIFEST, file_entry, write_bytes
from data_contracts.tasks import Split, Task
from pipelines.defs.evaluation import CANDIDATES, evaluation_report
from pipelines.defs.exams import exams, suite_choices
from pipelines.defs.recipe_check import faults_here
from pipelines.launchers.local import LocalLauncher
from pipelines.recipe import load_recipe
from pipelines.resources import DatasetStore, RecipeResource
from pipelines.store import Store
from rollout.evaluation.run import evaluate
from rollout.process import finished
from rollout.rendering import tokenizer_id
from tests.pipelines.curation.made import attempt
from tests.tiny import make_task, qwen_model, qwen_tokenizer
from tests.written import runs_of_words, written_texts

KNOWN = "A hasty baker fills {} trays with eleven rolls each and wonders how many rolls that makes altogether today"
HIDDEN = "A slow carpenter saws {} planks into nine pieces each and counts them twice before he goes home tonight"


class InThisProcess(LocalLauncher):
    """Does what the process would do, without starting it."""

    def run(self, context: dg.AssetExecutionContext, spec: RunSpec, stage: str) -> RunResult:
        evaluate(spec)
        result = finished(spec)
        assert result is not None
        return result


def checkpoint(store: Store, name: str, seed: int) -> None:
    folder = store.root / "runs" / name
    qwen_model(seed).save_pretrained(folder)
    qwen_tokenizer().save_pretrained(folder)
    files = tuple(file_entry(folder, path) for path in sorted(folder.iterdir()))
    manifest = CheckpointManifest.create(
        name="tiny", method=name.partition("_")[0], files=files, tokenizer_id=tokenizer_id(qwen_tokenizer()), parents=(),
        recipe="{}", num_steps=0,
    )  # fmt: skip
    write_bytes(folder / MANIFEST, manifest.canonical().encode())
    store.release(name, RunInput(name=name, path=str(folder), content_hash=manifest.content_hash))


def released(store: Store) -> None:
    """What stands before the report: tasks, what was trained on, and three checkpoints."""
    own = [make_task(f"What is {n} plus {n}?", str(2 * n), split=Split.TEST, source_id=str(n)) for n in range(2)]
    trained = [attempt("a", "t"), attempt("b", "u")]
    decisions = [
        Decision(subject=key, stage="s", verdict=verdict, reason=reason, evidence="{}", filter_version="1")
        for key, verdict, reason in (("a", Verdict.KEEP, Reason.PASSED), ("b", Verdict.DROP, Reason.VOID))
    ]
    for name, rows, record in (
        ("tasks", own, Task),
        ("teacher_attempts", trained, Attempt),
        ("sft_decisions", decisions, Decision),
        ("rl_dataset", [make_task(f"Listen. {KNOWN.format(5)}!", "55")], Task),
    ):
        store.release(name, store.write(name, rows, record))
    for seed, name in enumerate(("base_checkpoint", "sft_checkpoint", "rl_checkpoint")):
        checkpoint(store, name, seed)


def copy_of(folder: Path, name: str, questions: list[tuple[str, int]]) -> str:
    path = folder / f"{name}.jsonl"
    rows = [{"id": n, "problem": text, "answer": str(answer)} for n, (text, answer) in enumerate(questions)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return (
        f'{{name="{name}", path="{path}", limits={{max_turns=2, max_calls=1, max_tokens=900, max_result_tokens=20}}}}'
    )


@pytest.fixture(scope="module")
def examined(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examined")
    store = Store(folder / "data")
    released(store)
    suites = [
        copy_of(folder, "math500", [(KNOWN.format(5), 55), (KNOWN.format(60), 660)]),
        copy_of(folder, "aime24", [(HIDDEN.format(7), 63)]),
    ]
    overrides = [
        f"evaluation.suites=[{', '.join(suites)}]", "evaluation.engine.max_turn_tokens=4", "evaluation.num_attempts=2",
    ]  # fmt: skip
    resources = {
        "store": DatasetStore(root=str(store.root)),
        "recipe": RecipeResource(name="embedded", overrides=overrides),
        "launcher": InThisProcess(),
    }
    with dg.DagsterInstance.ephemeral(tempdir=str(folder)) as instance:
        result = dg.materialize([evaluation_report], instance=instance, resources=resources)
    return store, result


def test_every_candidate_has_a_row_in_every_exam(examined):
    store, result = examined
    rows = store.read(store.latest("evaluation_report"), EvaluationRow)
    whole = {(row.suite, row.label): row for row in rows if row.domain == "all"}
    suites = {"embedded": 2, "math500": 2, "aime24": 1}
    assert set(whole) == {(suite, candidate.label) for suite in suites for candidate in CANDIDATES}
    assert {(suite, row.num_tasks, row.num_attempts) for (suite, _), row in whole.items()} == {
        (suite, number, 2 * number) for suite, number in suites.items()
    }
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations())


def test_contamination_by_what_was_trained_on_stands_beside_each_score(examined):
    store, _ = examined
    rows = store.read(store.latest("evaluation_report"), EvaluationRow)
    held = {(row.suite, row.clean.num_contaminated) for row in rows if row.domain == "all"}
    assert held == {("embedded", 0), ("math500", 1), ("aime24", 0)}
    (overlap,) = [one for one in store.read(store.latest("evaluation_overlaps"), Overlap) if one.item_share == 1.0]
    assert overlap.item == "math500/0"


def test_nothing_of_a_suite_that_is_not_to_be_republished_lies_in_the_data_folder(examined):
    store, _ = examined
    texts = " ".join(" ".join(text.split()) for text in written_texts(store.root))
    assert any(part in texts for part in runs_of_words(KNOWN.format(60)))
    assert not any(part in texts for part in runs_of_words(HIDDEN.format(7)))


def test_a_suite_declares_the_tools_that_it_names(tmp_path):
    released(Store(tmp_path / "data"))
    suite = copy_of(tmp_path, "math500", [(KNOWN.format(5), 55)]).replace("{name", '{tools=["gcd", "python"], name')
    function = '{kind="function", function="tests.rollout.tools.test_registry:gcd"}'
    recipe = load_recipe("embedded", [f"evaluation.suites=[{suite}]", f"tools.gcd={function}"])
    own, named = exams(Store(tmp_path / "data"), recipe)
    assert [[tool.name for tool in exam.tasks[0].tools] for exam in (own, named)] == [["python"], ["gcd", "python"]]


def test_the_ui_shows_tables_pairs_and_a_plot_of_all_suites(examined):
    _, result = examined
    metadata = result.asset_materializations_for_node("evaluation_report")[0].metadata
    table = metadata["table"].value
    assert "| suite | policy | avg | pass@k | pass^k | maj@k | k | clean items | contaminated | stops |" in table
    assert "| math500 | sft, tool disabled |" in table
    assert "aime24: sft - base, paired by task" in metadata["paired"].value
    assert "data:image/png;base64," in metadata["plot"].value
    assert metadata["accuracy, rl, aime24"].value == 0.0


@pytest.mark.parametrize(
    ("suites", "words"),
    [
        ('[{name="math5000"}]', "did you mean 'math500'"),
        ('[{name="math500"}, {name="math500"}]', "names the suite 'math500' twice"),
        ('[{name="math500", file="x"}]', "suites.0.file"),
        ('[{name="math500", tools=["python", "python"]}]', "names a tool twice, 'python'"),
        ('[{name="math500", tools=["pyhton"]}]', r"no table \[tools.pyhton\] \(did you mean 'python'"),
    ],
)
def test_a_slip_in_the_suites_is_found_before_the_first_step(suites, words):
    recipe = load_recipe("embedded", [f"evaluation.suites={suites}"])
    assert any(re.search(words, fault) for fault in faults_here(recipe))
    with pytest.raises(ValueError, match=words):
        suite_choices(recipe)
