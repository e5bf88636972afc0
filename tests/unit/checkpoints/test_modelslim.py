"""ModelSlim checkpoints: the description against what is stored, as vLLM-Ascend's loader needs it."""

import json
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.inspect import examine
from npu_conformance.checkpoints.modelslim import schemes
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.tiny_checkpoints import Shapes, linears, write

CONFIG: dict[str, Any] = {
    "torch_dtype": "bfloat16",
    "hidden_size": 512,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "intermediate_size": 768,
    "vocab_size": 10,
}
LAYER = "model.layers.0."
PLAIN: Shapes = {
    "model.embed_tokens.weight": ("BF16", (10, 512)),
    "model.norm.weight": ("BF16", (512,)),
    f"{LAYER}input_layernorm.weight": ("BF16", (512,)),
    f"{LAYER}post_attention_layernorm.weight": ("BF16", (512,)),
}


def parts(scheme: str, outputs: int, inputs: int, version: str | None) -> Shapes:
    """What ModelSlim stores for one linear layer."""
    if scheme == "FLOAT":
        return {"weight": ("BF16", (outputs, inputs))}
    rows = outputs // 2 if version == "1.0.0" else outputs
    stored: Shapes = {"weight": ("I8", (rows, inputs))}
    if scheme == "W8A8":
        return stored | {
            "input_scale": ("BF16", (1,)),
            "input_offset": ("I8", (1,)),
            "quant_bias": ("I32", (outputs,)),
            "deq_scale": ("F32", (outputs,)),
        }
    stored |= {"weight_scale": ("BF16", (outputs, 1)), "weight_offset": ("BF16", (outputs, 1))}
    if scheme == "W4A8_DYNAMIC":
        stored |= {
            "weight_scale_second": ("F32", (outputs, inputs // 256)),
            "weight_offset_second": ("I64", (outputs, inputs // 256)),
        }
        if version == "1.0.0":
            stored["scale_bias"] = ("F32", (outputs, 1 if outputs > 512 else 16))
    return stored


class Model:
    """A checkpoint that a test may damage before it is written."""

    def __init__(self, scheme: str, down: str | None = None, version: str | None = None) -> None:
        self.config = dict(CONFIG)
        self.shapes = dict(PLAIN)
        self.description: dict[str, Any] = {"model_quant_type": scheme}
        if version:
            self.description["version"] = version
        for name, (outputs, inputs) in linears(CONFIG).items():
            own = down if down and name == "mlp.down_proj" else scheme
            for part, entry in parts(own, outputs, inputs, version).items():
                self.shapes[f"{LAYER}{name}.{part}"] = entry
                self.description[f"{LAYER}{name}.{part}"] = own

    def findings(self, folder: Path) -> list[str]:
        """What inspection says of it."""
        write(folder, self.config, self.shapes, "quant_model_weights.safetensors")
        (folder / "quant_model_description.json").write_text(json.dumps(self.description))
        return [f"{finding.level} {finding}" for finding in examine(folder).findings]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Model("W8A8"), {"W8A8": 7}),
        (Model("W8A8_DYNAMIC", down="FLOAT"), {"W8A8_DYNAMIC": 6, "FLOAT": 1}),
        (Model("W8A8_DYNAMIC", down="W4A8_DYNAMIC"), {"W8A8_DYNAMIC": 6, "W4A8_DYNAMIC": 1}),
        (Model("W4A8_DYNAMIC"), {"W4A8_DYNAMIC": 7}),
        (Model("W4A8_DYNAMIC", version="1.0.0"), {"W4A8_DYNAMIC": 7}),
    ],
)
def test_a_whole_checkpoint_has_no_findings(tmp_path: Path, model: Model, expected: dict[str, int]) -> None:
    """And its schemes are counted; shapes are derived through the packing."""
    assert model.findings(tmp_path) == []
    assert schemes(tmp_path) == expected

    model.config["intermediate_size"] = 700
    (found,) = model.findings(tmp_path)
    assert "intermediate_size is 700, the weights say 768" in found


Q = f"{LAYER}self_attn.q_proj"
DOWN = f"{LAYER}mlp.down_proj"


@pytest.mark.parametrize(
    ("scheme", "version", "changes", "expected"),
    [
        ("W8A8", None, {f"{Q}.deq_scale": None}, f"error {Q}: W8A8 without deq_scale: vLLM-Ascend would compute with"),
        ("W8A8", None, {f"{Q}.input_scale": ("BF16", (2,))}, f"error {Q}: input_scale is [2], W8A8 needs [1] or []"),
        ("W8A8", None, {f"{Q}.quant_bias": ("F32", (512,))}, f"error {Q}: quant_bias is F32, W8A8 needs I32"),
        (
            "W8A8_DYNAMIC",
            None,
            {f"{Q}.weight_scale": ("BF16", (512,))},
            f"error {Q}: weight_scale is [512], W8A8_DYNAMIC needs [512, 1]",
        ),
        (
            "W8A8_DYNAMIC",
            None,
            {f"{Q}.weight": ("BF16", (512, 512))},
            f"error {Q}: quant_model_description.json says W8A8_DYNAMIC, but its weight is BF16 [512, 512], not int8",
        ),
        (
            "W4A8_DYNAMIC",
            None,
            {f"{DOWN}.weight_scale_second": ("F32", (512, 6))},
            f"error {DOWN}: weight_scale_second is [512, 6], W4A8_DYNAMIC needs [512, 3]",
        ),
        (
            "W4A8_DYNAMIC",
            "1.0.0",
            {f"{DOWN}.scale_bias": None},
            f"error {DOWN}: W4A8_DYNAMIC without scale_bias: vLLM-Ascend would compute with",
        ),
    ],
)
def test_what_is_stored_wrongly_is_named(
    tmp_path: Path, scheme: str, version: str | None, changes: dict[str, Any], expected: str
) -> None:
    """A tensor that is absent, of another shape or of another dtype."""
    model = Model(scheme, version=version)
    model.shapes = {name: entry for name, entry in (model.shapes | changes).items() if entry is not None}

    (found,) = model.findings(tmp_path)

    assert found.startswith(expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({f"{Q}.weight": None}, f"error {Q}: quant_model_description.json does not name it, which vLLM-Ascend refuses"),
        ({f"{Q}.weight": "W8A8_MAGIC"}, f"warning {Q}: scheme 'W8A8_MAGIC' is unknown to vLLM-Ascend 0.23"),
        (
            {f"{DOWN}.weight": "FLOAT"},
            f"error {DOWN}: quant_model_description.json says FLOAT, but its weight is stored as I8",
        ),
        (
            {"model.layers.7.mlp.down_proj.weight": "W8A8_DYNAMIC"},
            "error model.layers.7.mlp.down_proj: quant_model_description.json says W8A8_DYNAMIC, but no weight is",
        ),
        (
            {f"{Q}.weight": "W8A16"},
            f"error {LAYER}self_attn.qkv_proj: computed as one layer, but its parts are W8A16 and W8A8_DYNAMIC",
        ),
        (
            {f"{LAYER}mlp.experts.{index}.up_proj.weight": scheme for index, scheme in enumerate(["A", "B"])},
            f"error {LAYER}mlp.experts: computed as one layer, but its parts are A and B",
        ),
    ],
)
def test_what_is_described_wrongly_is_named(tmp_path: Path, changes: dict[str, str | None], expected: str) -> None:
    """A layer that is not described, not stored, or described as what it is not."""
    model = Model("W8A8_DYNAMIC")
    model.description = {name: scheme for name, scheme in (model.description | changes).items() if scheme is not None}

    assert any(found.startswith(expected) for found in model.findings(tmp_path))


def test_a_layer_for_predictions_need_not_be_described(tmp_path: Path) -> None:
    """ModelSlim leaves out what lies behind the model's own layers."""
    model = Model("W8A8_DYNAMIC")
    model.config["num_nextn_predict_layers"] = 1
    model.shapes |= {name.replace(".0.", ".1."): entry for name, entry in model.shapes.items() if ".0." in name}

    assert model.findings(tmp_path) == []


def test_scales_that_are_read_right_in_another_dtype_only(tmp_path: Path) -> None:
    """deq_scale is float32 for bfloat16 and int64 for float16; read as the other it is nonsense."""
    model = Model("W8A8")
    model.config["torch_dtype"] = "float16"

    (found,) = model.findings(tmp_path)

    assert found.startswith(f"warning {Q}.deq_scale: stored as F32, which vLLM-Ascend reads right in bfloat16 only")


def test_a_description_that_is_no_json_is_one_line(tmp_path: Path) -> None:
    """Found before anything else of it is looked at."""
    Model("W8A8").findings(tmp_path)
    (tmp_path / "quant_model_description.json").write_text("{")

    with pytest.raises(CheckpointError, match=r"quant_model_description.json: cannot be read as JSON"):
        schemes(tmp_path)
