"""Checkpoints for engines: a Hugging Face folder with our manifest, or a plain model path or hub id."""

from pathlib import Path
from typing import Any

from data_contracts.manifests import CheckpointManifest
from data_contracts.storage import MANIFEST, DatasetError, verify_files


def read_checkpoint_manifest(folder: Path, expected_hash: str | None = None) -> CheckpointManifest:
    """The manifest of a checkpoint folder, after checking its hash and every file. Raises DatasetError."""
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise DatasetError(
            f"{folder} is no checkpoint (it has no {MANIFEST}): give the folder that a training run wrote"
        )
    manifest = CheckpointManifest.from_json(path.read_text())
    fields = {name: getattr(manifest, name) for name in CheckpointManifest.model_fields if name != "content_hash"}
    rebuilt = CheckpointManifest.create(**fields)
    wanted = expected_hash or manifest.content_hash
    if not rebuilt.content_hash == manifest.content_hash == wanted:
        raise DatasetError(
            f"{folder} has content hash {rebuilt.content_hash}, but {wanted} is expected: train again, or name the right folder"
        )
    verify_files(Path(folder), manifest.files)
    return manifest


def load_model(folder: Path) -> tuple[Any, Any]:
    """Model (float32 on CPU, bfloat16 on CUDA, eval mode) and tokenizer of a local folder."""
    import torch
    from transformers import AutoModelForCausalLM

    from rollout.engines import attention

    device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, local_files_only=True, attn_implementation=attention.NAME
    ).to(device)
    return model.eval(), load_tokenizer(folder)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a local folder. Raises FileNotFoundError where there is none."""
    from transformers import AutoTokenizer

    if not (Path(folder) / "tokenizer.json").is_file():
        raise FileNotFoundError(f"{folder} has no tokenizer.json: give the folder of a model or checkpoint")
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)
