"""Which layers want their inputs quantised, and how, by what a checkpoint says."""

import json
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.inspect import examine
from npu_conformance.checkpoints.quantised.activations import Activation, activations
from tests.unit.helpers.tiny_checkpoints import Shapes, write

Q, UP = "model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj"
CODES: Shapes = {f"{Q}.weight": ("I8", (8, 8)), f"{UP}.weight": ("I8", (8, 8))}
STATIC: Shapes = {f"{Q}.input_scale": ("BF16", (1,)), f"{Q}.input_offset": ("I8", (1,))}
TOKEN = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}


def found(folder: Path, config: dict[str, Any], shapes: Shapes) -> dict[str, Activation]:
    """Of a checkpoint with these headers."""
    return activations(examine(write(folder, {"vocab_size": 10, **config}, shapes)))


def modelslim(folder: Path, schemes: dict[str, str], shapes: Shapes = CODES | STATIC) -> dict[str, Activation]:
    """Of one that ModelSlim describes so."""
    folder.mkdir(exist_ok=True)
    described = {f"{module}.weight": scheme for module, scheme in schemes.items()}
    (folder / "quant_model_description.json").write_text(json.dumps(described))
    return found(folder, {}, shapes)


def compressed(folder: Path, inputs: dict[str, Any] | None, shapes: Shapes = CODES) -> dict[str, Activation]:
    """Of one of compressed-tensors with such `input_activations`."""
    weights = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    options = {"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": {"group_0": group}}
    return found(folder, {"quantization_config": options}, shapes)


def fp8(folder: Path, shapes: Shapes, **options: Any) -> dict[str, Activation]:
    """Of one in FP8."""
    return found(folder, {"quantization_config": {"quant_method": "fp8", **options}}, shapes)


def test_modelslim_names_a_scheme_for_each(tmp_path: Path) -> None:
    """One scale for all tokens, one a token, and none."""
    schemes = {Q: "W8A8", UP: "W8A8_DYNAMIC", "lm_head": "FLOAT"}

    assert modelslim(tmp_path, schemes) == {
        Q: Activation("int8", scale=f"{Q}.input_scale", zero=f"{Q}.input_offset"),
        UP: Activation("int8"),
    }
    assert modelslim(tmp_path, {Q: "W8A16", UP: "FLOAT"}) == {}


@pytest.mark.parametrize(
    "schemes",
    [
        {Q: "W8A8", UP: "W8A8_MIX"},
        {Q: "W4A4_DYNAMIC"},
        {UP: "W8A8"},
        {Q: "W8A8", "model.layers.0.mlp.experts.3.up_proj": "W8A8_DYNAMIC"},
    ],
    ids=["of two kinds", "four bits", "no scale is stored", "experts"],
)
def test_nothing_is_found_where_one_cannot_be_computed(tmp_path: Path, schemes: dict[str, str]) -> None:
    """Half of a model's quantisation would be another model."""
    assert modelslim(tmp_path, schemes) == {}


def test_compressed_tensors_says_it_of_groups(tmp_path: Path) -> None:
    """By token, by group, by a stored scale; weights alone."""
    assert compressed(tmp_path / "token", TOKEN) == {Q: Activation("int8"), UP: Activation("int8")}
    by_group = compressed(tmp_path / "group", TOKEN | {"strategy": "group", "group_size": 4, "type": "float"})
    assert by_group[UP] == Activation("fp8", group=4)
    assert compressed(tmp_path / "none", None) == {}
    stored = CODES | {f"{module}.input_scale": ("F32", (1,)) for module in (Q, UP)}
    static = compressed(tmp_path / "static", TOKEN | {"strategy": "tensor", "dynamic": False}, stored)
    assert static[Q] == Activation("int8", scale=f"{Q}.input_scale")
    packed = compressed(tmp_path / "packed", TOKEN, {f"{Q}.weight_packed": ("I32", (8, 1))})
    assert packed == {Q: Activation("int8")}  # W4A8


@pytest.mark.parametrize(
    "changed", [{"num_bits": 4}, {"symmetric": False}, {"strategy": "tensor"}, {"dynamic": "local"}]
)
def test_compressed_tensors_in_other_ways(tmp_path: Path, changed: dict[str, Any]) -> None:
    """Codes of four bits, zero points of each token, a scale of a whole batch."""
    assert compressed(tmp_path, TOKEN | changed) == {}


def test_fp8_goes_by_its_blocks(tmp_path: Path) -> None:
    """Inputs share scales as the weight's columns do; a stored scale is for all."""
    shapes: Shapes = {f"{Q}.weight": ("F8_E4M3", (8, 8)), f"{Q}.weight_scale_inv": ("F32", (2, 2))}
    assert fp8(tmp_path / "blocks", shapes, weight_block_size=[4, 4]) == {Q: Activation("fp8", group=4)}
    shapes = {f"{Q}.weight": ("F8_E4M3", (8, 8)), f"{Q}.weight_scale": ("F32", (1,))}
    assert fp8(tmp_path / "token", shapes) == {Q: Activation("fp8")}
    shapes[f"{Q}.input_scale"] = ("F32", (1,))
    assert fp8(tmp_path / "static", shapes, activation_scheme="static")[Q].scale == f"{Q}.input_scale"
