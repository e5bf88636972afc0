"""What the reference loads: published weights as they are meant, and nothing that only looks like a model."""

from pathlib import Path
from typing import Any

import pytest

from npu_conformance.engines.loading import load_model
from npu_conformance.errors import CheckpointError
from tests.unit.conversion.test_fp8 import save_qwen3
from tests.unit.helpers.quantised_checkpoints import edit_config, edit_tensors


def load(folder: Path) -> Any:
    """As the reference does."""
    return load_model(folder, "float32", "sdpa", trust_remote_code=False)


def test_block_fp8_is_read_without_our_converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every parameter is what transformers dequantises it to."""
    import torch
    import transformers

    from npu_conformance.conversion.formats import fp8

    save_qwen3(tmp_path / "source")
    monkeypatch.delattr(fp8, "dequantise")
    mine = load(tmp_path / "source").state_dict()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "source",
        dtype=torch.float32,
        quantization_config=transformers.FineGrainedFP8Config(
            dequantize=True, weight_block_size=(32, 32), modules_to_not_convert=["lm_head"]
        ),
    ).state_dict()

    assert set(mine) == set(theirs)
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


def test_a_model_with_weights_left_out_is_refused(tmp_path: Path) -> None:
    """Transformers would make some up, with a warning that nobody reads."""
    save_qwen3(tmp_path / "source")
    edit_tensors(tmp_path / "source", lambda tensors: tensors.pop("model.norm.weight"))

    with pytest.raises(CheckpointError, match=r"model\.norm\.weight"):
        load(tmp_path / "source")


def test_a_method_without_a_reader_asks_for_the_original(tmp_path: Path) -> None:
    """In one line."""
    save_qwen3(tmp_path / "source")
    edit_config(tmp_path / "source", quantization_config={"quant_method": "quark"})

    with pytest.raises(CheckpointError, match=r"quantised by quark are not read here.* reference\.model"):
        load(tmp_path / "source")
