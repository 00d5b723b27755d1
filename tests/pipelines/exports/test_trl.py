"""TRL's own trainers read the exports unchanged and make a step."""

from importlib.resources import files
from typing import Any

import pytest
import torch
from datasets import Dataset, load_dataset

from data_contracts.storage import to_table
from data_contracts.token_rows import TokenRow
from pipelines.publishing.exports import Export
from pipelines.publishing.exports.conversation import conversations
from pipelines.publishing.exports.tokens import tokens
from pipelines.publishing.exports.trl_grpo import trl_grpo
from pipelines.publishing.exports.trl_sft import trl_sft
from pipelines.publishing.exports.writing import write_export
from rollout.rendering import Renderer
from rollout.rendering.family import prompt_pieces
from tests.pipelines.exports.made import ATTEMPTS, TASKS, TOOLS
from tests.tiny import qwen_model, qwen_tokenizer
from tests.trainer.packs import random_rows

TEMPLATE = "qwen3_instruct_2507.jinja"


@pytest.fixture
def tokenizer():
    made = qwen_tokenizer()
    made.chat_template = (files("trl") / "chat_templates" / TEMPLATE).read_text()
    yield made
    made.chat_template = None  # it is shared


def written(folder, export: Export) -> Dataset:
    write_export(folder / "out", export, {})
    return load_dataset(
        "parquet", data_files=str(folder / "out" / "train.parquet"), split="train", cache_dir=str(folder / "cache")
    )


def settings(folder) -> dict[str, Any]:
    return {
        "output_dir": str(folder / "trl"),
        "max_steps": 1,
        "per_device_train_batch_size": 4,
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "save_strategy": "no",
        "disable_tqdm": True,
    }


def sft_trainer(folder, dataset: Dataset, tokenizer: Any) -> Any:
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(**settings(folder), max_length=None)
    return SFTTrainer(qwen_model(), config, train_dataset=dataset, processing_class=tokenizer)


def test_sft_on_messages_reads_the_ids_that_our_renderer_makes(tmp_path, tokenizer):
    found, _ = conversations(ATTEMPTS, TOOLS)
    trainer = sft_trainer(tmp_path, written(tmp_path, trl_sft(found)), tokenizer)
    renderer = Renderer(tokenizer)
    ours = [renderer.encode(prompt_pieces(renderer.family, c.messages, c.tools)).ids_T for c in found]
    assert [tuple(row["input_ids"]) for row in trainer.train_dataset] == ours
    assert trainer.train().training_loss > 0


def test_sft_on_ids_and_labels_has_the_loss_of_our_trained_tokens(tmp_path, tokenizer):
    """Four rows in one batch; the mean over trained tokens, by hand."""
    rows = random_rows(4, seed=1)
    trainer = sft_trainer(tmp_path, written(tmp_path, tokens(to_table(rows, TokenRow))), tokenizer)
    assert [tuple(row["input_ids"]) for row in trainer.train_dataset] == [row.tokens_T for row in rows]
    model, losses = qwen_model(), []
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor([row.tokens_T])
            logprobs = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
            losses += [-float(p) for p, trained in zip(logprobs, row.trained_T[1:], strict=True) if trained]
    assert trainer.train().training_loss == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_grpo_makes_a_step_and_its_reward_function_gets_the_answer(tmp_path, tokenizer):
    from trl import GRPOConfig, GRPOTrainer

    seen = []

    def reward(completions: list[Any], answer: list[str], verifier: list[str], **columns: Any) -> list[float]:
        seen.extend(zip(answer, verifier, strict=True))
        return [float(len(completion[0]["content"])) for completion in completions]

    config = GRPOConfig(**settings(tmp_path), num_generations=2, max_completion_length=4, seed=0)
    dataset = written(tmp_path, trl_grpo(TASKS))
    trainer = GRPOTrainer(qwen_model(), reward, args=config, train_dataset=dataset, processing_class=tokenizer)
    trainer.train()
    assert len(seen) == 4
    assert set(seen) <= {(answer, "math") for answer in ("42", "007", "1/2")}
    assert trainer.state.global_step == 1
