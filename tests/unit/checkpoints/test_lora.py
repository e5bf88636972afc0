"""An adapter's folder, before an engine is given it."""

import json
from pathlib import Path

import pytest

from npu_conformance.checkpoints.lora import lora_options
from npu_conformance.errors import CheckpointError


def adapter(folder: Path, **config: object) -> Path:
    """A folder with this adapter_config.json."""
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(("rank", "served"), [(1, 8), (8, 8), (9, 16), (16, 16), (512, 512)])
def test_the_rank_is_the_next_one_vllm_has(tmp_path: Path, rank: int, served: int) -> None:
    """Its kernels are for some ranks only."""
    assert lora_options(adapter(tmp_path, peft_type="LORA", r=rank))["max_lora_rank"] == served


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "IA3", "r": 8}, "peft_type is 'IA3'"),
        ({"peft_type": "LORA", "r": 1024}, "r is 1024, vLLM serves ranks up to 512"),
        ({"peft_type": "LORA"}, "cannot be read as a LoRA's config"),
    ],
)
def test_what_vllm_cannot_serve_is_named(tmp_path: Path, config: dict[str, object], message: str) -> None:
    """Before an engine starts."""
    with pytest.raises(CheckpointError, match=message):
        lora_options(adapter(tmp_path, **config))


def test_a_folder_without_a_config_is_named(tmp_path: Path) -> None:
    """As the file that is missing."""
    with pytest.raises(CheckpointError, match=r"adapter_config\.json: cannot be read"):
        lora_options(tmp_path)
