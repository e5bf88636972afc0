"""A LoRA is merged as PEFT's definition says, and one of another model is refused."""

from pathlib import Path
from typing import Any

import pytest

from npu_conformance.engines.adapter import merge_adapter
from npu_conformance.engines.loading import load_model
from npu_conformance.errors import CheckpointError
from tests.unit.conversion.test_fp8 import save_qwen3


@pytest.fixture
def adapted(tmp_path: Path) -> tuple[Any, Path]:
    """A tiny model and a LoRA for it whose change is not nothing."""
    import torch
    from peft import LoraConfig, get_peft_model

    save_qwen3(tmp_path / "source")
    network = get_peft_model(
        load_model(tmp_path / "source", "float32", "sdpa", trust_remote_code=False),
        LoraConfig(r=2, target_modules=["q_proj", "up_proj"]),
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    network.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    return load_model(tmp_path / "source", "float32", "sdpa", trust_remote_code=False), tmp_path / "adapter"


def edit_adapter(folder: Path, edit: Any) -> None:
    """Change the adapter's tensors."""
    from safetensors.torch import load_file, save_file

    file = folder / "adapter_model.safetensors"
    save_file(edit(load_file(file)), file)


def test_an_adapter_is_added_to_the_weights(adapted: tuple[Any, Path]) -> None:
    """To those it targets, by alpha over rank times the product of its two factors."""
    import torch
    from safetensors.torch import load_file

    model, folder = adapted
    before = {name: value.clone() for name, value in model.state_dict().items()}
    after = merge_adapter(model, folder).state_dict()
    factors = load_file(folder / "adapter_model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}

    assert changed == {name for name in before if "q_proj.weight" in name or "up_proj.weight" in name}
    for name in changed:
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        product = factors[f"{stem}.lora_B.weight"] @ factors[f"{stem}.lora_A.weight"]
        torch.testing.assert_close(after[name], before[name] + 8 / 2 * product)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: {k.replace("model.layers", "model.language_model.layers"): v for k, v in t.items()}, "no place for"),
        (
            lambda t: t | {"base_model.model.model.layers.9.mlp.up_proj.lora_A.weight": t[min(t)].clone()},
            "no place for",
        ),
        (lambda t: {k: v for k, v in t.items() if "layers.1" not in k}, "lacks"),
    ],
    ids=["of another root", "with a layer more", "with a layer less"],
)
@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_an_adapter_of_another_model_is_refused(adapted: tuple[Any, Path], edit: Any, message: str) -> None:
    """PEFT would leave out what does not fit, and the base model would pass for the adapted one."""
    model, folder = adapted
    edit_adapter(folder, edit)

    with pytest.raises(CheckpointError, match=message):
        merge_adapter(model, folder)
