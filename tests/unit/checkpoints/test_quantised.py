"""quantization_config against what is stored: FP8, GPTQ, and codes that no config announces."""

from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.inspect import examine
from tests.unit.helpers.tiny_checkpoints import Shapes, write

FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True, "desc_act": False}
BLOCKS: Shapes = {"l.weight": ("F8_E4M3", (200, 256)), "l.weight_scale_inv": ("F32", (2, 2))}
PACKED: Shapes = {
    "l.qweight": ("I32", (16, 64)),
    "l.qzeros": ("I32", (4, 8)),
    "l.scales": ("F16", (4, 64)),
    "l.g_idx": ("I32", (128,)),
}


def findings(folder: Path, quantisation: dict[str, Any] | None, shapes: Shapes) -> list[str]:
    """What is said of a folder with this quantization_config."""
    config = {} if quantisation is None else {"quantization_config": quantisation}
    return [f"{finding.level} {finding}" for finding in examine(write(folder, config, shapes)).findings]


def without(shapes: Shapes, *names: str) -> Shapes:
    """Fewer tensors."""
    return {name: entry for name, entry in shapes.items() if name not in names}


@pytest.mark.parametrize(
    ("quantisation", "shapes"),
    [
        pytest.param(None, {"l.weight": ("BF16", (8, 8)), "l.position_ids": ("I32", (8, 8))}, id="plain"),
        pytest.param(FP8, BLOCKS, id="FP8 blocks, the last cut off"),
        pytest.param(
            FP8,
            {"experts.up_proj": ("F8_E4M3", (3, 200, 256)), "experts.up_proj_scale_inv": ("F32", (3, 2, 2))},
            id="FP8 blocks of experts in one tensor",
        ),
        pytest.param(
            {"quant_method": "fp8", "activation_scheme": "dynamic"},
            {"l.weight": ("F8_E4M3", (200, 256)), "l.weight_scale": ("F32", ()), "k_scale": ("F32", ())},
            id="FP8 with one scale",
        ),
        pytest.param(
            {"quant_method": "other"},
            {"l.weight": ("F8_E4M3", (4, 4)), "l.scale": ("F8_E8M0", (1, 1))},
            id="FP8 of another method",
        ),
        pytest.param(
            {"quant_method": "modelopt_fp4", "quant_algo": "NVFP4"},
            {"l.weight": ("U8", (8, 32)), "l.weight_scale": ("F8_E4M3", (8, 4)), "l.weight_scale_2": ("F32", ())},
            id="NVFP4, whose scales are FP8",
        ),
        pytest.param(GPTQ, PACKED, id="GPTQ"),
        pytest.param(GPTQ, without(PACKED, "l.g_idx"), id="GPTQ without an order that it does not need"),
        pytest.param(
            {**GPTQ, "group_size": -1},
            {**PACKED, "l.qzeros": ("I32", (1, 8)), "l.scales": ("F16", (1, 64))},
            id="GPTQ of whole columns",
        ),
        pytest.param({**GPTQ, "dynamic": {"l": {"bits": 8}}, "bits": 8}, PACKED, id="GPTQ with options by module"),
    ],
)
def test_a_consistent_checkpoint_has_no_findings(
    tmp_path: Path, quantisation: dict[str, Any] | None, shapes: Shapes
) -> None:
    """Each way to store a weight that engines read."""
    assert findings(tmp_path, quantisation, shapes) == []


@pytest.mark.parametrize(
    ("quantisation", "shapes", "expected"),
    [
        pytest.param(
            None,
            {**BLOCKS, "m.weight": ("F8_E4M3", (2, 2))},
            "error l.weight (and 1 more): F8_E4M3 weights, but config.json has no quantization_config.quant_method",
            id="unannounced FP8",
        ),
        pytest.param(None, PACKED, "error l.qweight: I32 weights, but config.json has no", id="unannounced GPTQ"),
        pytest.param(
            None,
            {"l.weight": ("I8", (8, 8))},
            "error l.weight: I8 weights, but config.json has no",
            id="unannounced int8",
        ),
        pytest.param(
            FP8,
            {"l.weight": ("F8_E4M3", ()), "l.weight_scale": ("F8_E4M3", ())},
            "error l.weight: has codes of shape [], expected rows: download it again",
            id="codes without rows",
        ),
        pytest.param(
            FP8,
            {**BLOCKS, "m.weight": ("F8_E4M3", (2, 2))},
            "error m.weight: F8_E4M3 without m.weight_scale_inv or _scale",
            id="no scale",
        ),
        pytest.param(
            {"quant_method": "compressed-tensors"},
            {"l.weight": ("F8_E4M3", (2, 2))},
            "error l.weight: F8_E4M3 without l.weight_scale_inv or _scale",
            id="no scale in another method",
        ),
        pytest.param(
            FP8,
            {**BLOCKS, "l.weight_scale_inv": ("F32", (2, 1))},
            "error l.weight: its scale is [2, 1], expected [2, 2] for [200, 256] in blocks of [128, 128]",
            id="a scale of other blocks",
        ),
        pytest.param(
            FP8,
            {"l.weight": ("BF16", (8, 8))},
            "error config.json: quantization_config.quant_method is fp8, but no",
            id="dequantised FP8",
        ),
        pytest.param(
            GPTQ,
            {"l.weight": ("BF16", (8, 8))},
            "error config.json: quantization_config.quant_method is gptq, but no",
            id="dequantised GPTQ",
        ),
        pytest.param(
            GPTQ,
            without(PACKED, "l.scales", "l.qzeros"),
            "error l: no qzeros and no scales beside its qweight",
            id="no zeros",
        ),
        pytest.param(
            {**GPTQ, "desc_act": True},
            without(PACKED, "l.g_idx"),
            "error l: no g_idx beside its qweight",
            id="no order",
        ),
        pytest.param(
            {**GPTQ, "bits": 8},
            PACKED,
            "error l: quantization_config.bits is 8, but qzeros [4, 8] beside qweight [16, 64] says 4",
            id="other bits",
        ),
        pytest.param(
            {key: value for key, value in GPTQ.items() if key != "bits"},
            PACKED,
            "error config.json: quantization_config.bits: required key is missing; correct it",
            id="no bits",
        ),
        pytest.param(
            {**GPTQ, "group_size": 64},
            {**PACKED, **{f"m.{name[2:]}": entry for name, entry in PACKED.items()}},
            "error l: scales is [4, 64] and qzeros has 4 rows, expected 2 rows for 128 inputs: is "
            "quantization_config.group_size 64 right? (1 more such)",
            id="other groups",
        ),
        pytest.param(
            GPTQ,
            {**PACKED, "l.g_idx": ("I32", (64,))},
            "error l: g_idx is [64], expected [128]",
            id="an order of other inputs",
        ),
    ],
)
def test_each_disagreement_is_one_error(
    tmp_path: Path, quantisation: dict[str, Any] | None, shapes: Shapes, expected: str
) -> None:
    """Named by tensor, with what was expected."""
    (found,) = findings(tmp_path, quantisation, shapes)

    assert found.startswith(expected)


def test_a_config_in_a_file_of_its_own_is_a_warning(tmp_path: Path) -> None:
    """A converter reads it, engines do not."""
    (tmp_path / "quantize_config.json").write_text("{}")

    (found,) = findings(tmp_path, None, PACKED)

    assert found.startswith("warning l.qweight: I32 weights that only quantize_config.json announces")
