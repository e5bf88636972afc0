"""What enters quantised layers, against values worked out by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.inspect import Checkpoint, inspect
from npu_conformance.checkpoints.quantised.activations import Activation
from npu_conformance.engines.loading import load_model
from npu_conformance.engines.quantised import quantise_inputs, rounding
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.modelslim_checkpoints import save_modelslim, save_plain
from tests.unit.helpers.quantised_checkpoints import save_checkpoint


@pytest.fixture
def stored(tmp_path: Path) -> Checkpoint:
    """Has a static scale of 0.5, and 10 for the code of zero."""
    import torch

    tensors = {"a.input_scale": torch.tensor([0.5]), "a.input_offset": torch.tensor([10], dtype=torch.int8)}
    return Checkpoint(folder := save_checkpoint(tmp_path / "x", tensors, {}), {}, inspect_headers(folder))


def inspect_headers(folder: Path) -> dict[str, Any]:
    """Tensors by name."""
    from npu_conformance.checkpoints.weight_files import read_weights

    return read_weights(folder).tensors


def values(how: Activation, checkpoint: Checkpoint, *rows: list[float]) -> list[list[float]]:
    """What becomes of tokens."""
    import torch

    return [row.tolist() for row in rounding(how, checkpoint)(torch.tensor(rows))]


def test_int8_of_a_token(stored: Checkpoint) -> None:
    """A step is a 127th of the largest; halves go to the even code; a token of zeros stays."""
    found = values(Activation("int8"), stored, [127.0, -3.4, 0.5, 1.5], [0.0, 0.0, 0.0, 0.0], [-12.7, 0.26, 0.0, 0.0])

    assert found[0] == [127.0, -3.0, 0.0, 2.0]
    assert found[1] == [0.0] * 4
    assert found[2] == pytest.approx([-12.7, 0.3, 0.0, 0.0])


def test_a_static_scale_cuts_off_what_is_beyond(stored: Checkpoint) -> None:
    """Codes are -128 to 127 about that of zero: values from -69 to 58.5."""
    static = Activation("int8", scale="a.input_scale", zero="a.input_offset")

    assert values(static, stored, [0.0, 0.3, 100.0, -100.0]) == [[0.0, 0.5, 58.5, -69.0]]


def test_fp8_has_four_significant_bits(stored: Checkpoint) -> None:
    """448 is its largest; neighbours of a group share a scale, and the last may be cut off."""
    found = values(Activation("fp8"), stored, [448.0, 17.0, 19.0])
    assert found == [[448.0, 16.0, 20.0]]  # halfway: to the even one
    by_group = values(Activation("fp8", group=2), stored, [448.0, 17.0, 0.017])
    assert by_group[0][:2] == [448.0, 16.0]
    assert by_group[0][2] == pytest.approx(0.017)


def test_the_dtype_stays(stored: Checkpoint) -> None:
    """Values of codes are rounded to the model's own."""
    import torch

    assert rounding(Activation("int8"), stored)(torch.ones(1, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_only_described_layers_see_codes(tmp_path: Path) -> None:
    """All linear layers of a layer's, not the head; loading for a reference leaves all as they are."""
    folder = save_modelslim(tmp_path / "codes", save_plain(tmp_path / "plain", layers=1))

    hooked = load_model(folder, "float32", "sdpa", trust_remote_code=False, quantised=True)
    plain = load_model(folder, "float32", "sdpa", trust_remote_code=False)

    with_hooks = {name for name, module in hooked.named_modules() if module._forward_pre_hooks}
    assert {name.rpartition(".")[2] for name in with_hooks} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    assert not any(module._forward_pre_hooks for module in plain.modules())


def test_a_layer_that_the_model_has_not_is_named(tmp_path: Path) -> None:
    """Quantising the others only would be another model."""
    folder = save_modelslim(tmp_path / "codes", save_plain(tmp_path / "plain", layers=1))
    described = json.loads((folder / "quant_model_description.json").read_text())
    model = load_model(folder, "float32", "sdpa", trust_remote_code=False)
    described["model.layers.0.mlp.side_proj.weight"] = "W8A8_DYNAMIC"
    (folder / "quant_model_description.json").write_text(json.dumps(described))

    with pytest.raises(CheckpointError, match=r"layers\.0\.mlp\.side_proj is quantised, but transformers' model"):
        quantise_inputs(model, Checkpoint(folder, {}, inspect_headers(folder)))


def test_a_model_held_under_another_name_is_found(tmp_path: Path) -> None:
    """As the language model of one that can see."""
    import torch

    folder = save_modelslim(tmp_path / "codes", save_plain(tmp_path / "plain", layers=1))
    model = load_model(folder, "float32", "sdpa", trust_remote_code=False)
    outer = torch.nn.ModuleDict({"language": model})

    assert quantise_inputs(outer, inspect(folder)) == 7
