"""Parts of quantised weights that are missing, of another shape, or another method's: a finding each, by its module."""

import re
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.inspect import examine
from tests.unit.helpers.tiny_checkpoints import Shapes, write

FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic"}
STATIC = FP8 | {"activation_scheme": "static"}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True, "desc_act": False}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"}
ROUND = {"quant_method": "auto-round", "bits": 4, "group_size": 32, "packing_format": "auto_round:auto_gptq"}
CODES: Shapes = {"l.weight": ("F8_E4M3", (256, 200))}
PACKED: Shapes = {"l.qweight": ("I32", (16, 64)), "l.qzeros": ("I32", (4, 8)), "l.scales": ("F16", (4, 64))}
OTHER: Shapes = {"l.qweight": ("I32", (128, 8)), "l.qzeros": ("I32", (4, 8)), "l.scales": ("F16", (4, 64))}


def scaled(shape: tuple[int, ...], name: str = "l.weight_scale") -> Shapes:
    """An FP8 weight with a scale of this shape."""
    return {**CODES, name: ("F32", shape)}


def compressed(weights: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    """Options of compressed-tensors with one group of all linear layers."""
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs or None}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, "ignore": ["lm_head"]}


INT8 = compressed({"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True, "dynamic": False})
FLOAT = compressed({"num_bits": 8, "type": "float", "strategy": "tensor"}, num_bits=8, type="float", dynamic=False)
BLOCKS = compressed({"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [128, 128]})
W4 = compressed({"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": True})


def findings(folder: Path, quantisation: dict[str, Any], shapes: Shapes) -> list[str]:
    """What is said of a folder with this quantization_config."""
    found = examine(write(folder, {"quantization_config": quantisation}, shapes)).findings
    return [f"{finding.level} {finding}" for finding in found]


@pytest.mark.parametrize(
    ("quantisation", "shapes"),
    [
        pytest.param(FP8, scaled(()), id="FP8 by tensor"),
        pytest.param(FP8, scaled((1,)), id="FP8 by tensor, in a list"),
        pytest.param(STATIC, {**scaled(()), "l.input_scale": ("F32", ())}, id="FP8 with a scale of activations"),
        pytest.param(
            FP8 | {"kv_cache_scheme": {}},
            {**scaled(()), "k_scale": ("F32", ()), "v_scale": ("F32", ())},
            id="KV scales",
        ),
        pytest.param(AWQ, OTHER, id="AWQ"),
        pytest.param(
            {"quant_method": "awq", "w_bit": 4, "q_group_size": 32, "zero_point": True}, OTHER, id="older AWQ"
        ),
        pytest.param(ROUND, PACKED, id="auto-round as GPTQ"),
        pytest.param(ROUND | {"packing_format": "auto_round:auto_awq"}, OTHER, id="auto-round as AWQ"),
        pytest.param(INT8, {"l.weight": ("I8", (64, 128)), "l.weight_scale": ("BF16", (64, 1))}, id="int8 by channel"),
        pytest.param(FLOAT, {**scaled((1,)), "l.input_scale": ("F32", (1,))}, id="FP8 of compressed-tensors"),
        pytest.param(BLOCKS, scaled((2, 2)), id="blocks of compressed-tensors"),
        pytest.param(
            W4,
            {
                "l.weight_packed": ("I32", (64, 32)),
                "l.weight_scale": ("BF16", (64, 2)),
                "l.weight_shape": ("I64", (2,)),
            },
            id="packed int4",
        ),
        pytest.param(
            compressed({"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}),
            {
                "l.weight_packed": ("U8", (64, 64)),
                "l.weight_scale": ("F8_E4M3", (64, 8)),
                "l.weight_global_scale": ("F32", (1,)),
            },
            id="NVFP4 of compressed-tensors",
        ),
    ],
)
def test_what_is_published_is_accepted(tmp_path: Path, quantisation: dict[str, Any], shapes: Shapes) -> None:
    """Each method with its parts."""
    assert findings(tmp_path, quantisation, shapes) == []


@pytest.mark.parametrize(
    ("quantisation", "shapes", "expected"),
    [
        pytest.param(FP8, scaled((256, 1)), "warning l.weight: has a scale for each row, and vLLM's fp8", id="rows"),
        pytest.param(FP8, scaled((256,)), "warning l.weight: has a scale for each row", id="rows in a list"),
        pytest.param(FP8, scaled((3,)), "warning l.weight: has a scale for each of the parts", id="fused"),
        pytest.param(
            FP8,
            scaled((2, 2), "l.weight_scale_inv"),
            "error l.weight: .* blocks of 128 x 128.*: copy",
            id="no block size",
        ),
        pytest.param(
            FP8, scaled((2, 5)), "error l.weight: its scale is .2, 5. for .256, 200., and there is", id="shape"
        ),
        pytest.param(
            FP8,
            {**scaled(()), "l.weight_scale_inv": ("F32", ())},
            "error l.weight: has l.weight_scale_inv and l.weight_scale, expected one",
            id="two scales",
        ),
        pytest.param(
            FP8,
            {"l.weight": ("F8_E5M2", (8, 8)), "l.weight_scale": ("F32", ())},
            "error l.weight: is F8_E5M2, engines read F8_E4M3 here: take",
            id="E5M2",
        ),
        pytest.param(
            STATIC, scaled(()), "suspicion l.weight: .*static, but there is no l.input_scale: vLLM", id="no input scale"
        ),
        pytest.param(
            FP8,
            {**scaled(()), "m.qweight": ("I32", (16, 64))},
            "error m.qweight: is of another method than fp8",
            id="two",
        ),
        pytest.param(
            GPTQ,
            {**PACKED, "m.weight": ("F8_E4M3", (8, 8)), "m.weight_scale": ("F32", ())},
            "error m.weight: is of another method than gptq: engines",
            id="FP8 in GPTQ",
        ),
        pytest.param(GPTQ, {**PACKED, "l.weight": ("F16", (64, 128))}, "error l: is stored both as weight", id="both"),
        pytest.param(
            GPTQ,
            {**PACKED, "m.qzeros": ("I32", (4, 8)), "m.scales": ("F16", (4, 64))},
            "error m: qzeros and scales without a qweight: download",
            id="no qweight",
        ),
        pytest.param(GPTQ, OTHER, "error l: the config says gptq, but .* laid out as awq", id="AWQ said GPTQ"),
        pytest.param(AWQ, PACKED, "error l: the config says awq, but .* laid out as gptq", id="GPTQ said AWQ"),
        pytest.param(
            ROUND,
            OTHER,
            "error l: the config says auto_round:auto_gptq, but .* laid out as awq",
            id="AWQ said auto-round",
        ),
        pytest.param(
            AWQ | {"bits": 8}, OTHER, "error l: .*bits is 8, but scales .* says 4: correct", id="AWQ of other bits"
        ),
        pytest.param(AWQ | {"group_size": 64}, OTHER, "error l: .* expected 2 rows for 128 inputs", id="AWQ groups"),
        pytest.param(
            GPTQ,
            {**PACKED, "l.scales": ("F16", (64,))},
            "error l: scales is .64., expected two sizes",
            id="flat scales",
        ),
        pytest.param(
            INT8, {"l.weight": ("I8", (64, 128))}, "error l: no weight_scale beside its weight", id="no scale"
        ),
        pytest.param(
            INT8,
            {"l.weight": ("I8", (64, 128)), "l.weight_scale": ("BF16", (1,))},
            "error l: weight_scale is .1., strategy channel needs .64, 1. or .64.: quantise",
            id="a scale for all",
        ),
        pytest.param(
            FLOAT, scaled(()), "suspicion l: input_activations .* no input_scale", id="no scale of activations"
        ),
        pytest.param(
            compressed({"num_bits": 8, "type": "int", "symmetric": False, "strategy": "channel"}),
            {"l.weight": ("I8", (64, 128)), "l.weight_scale": ("BF16", (64, 1))},
            "error l: no weight_zero_point beside its weight",
            id="no zero point",
        ),
        pytest.param(
            INT8 | {"ignore": ["re:(a+"]},
            {"l.weight": ("I8", (64, 128)), "l.weight_scale": ("BF16", (64, 1))},
            "error config.json: a name of modules is wrong: 're:.a.': not a regular expression",
            id="a pattern",
        ),
    ],
)
def test_each_fault_is_one_finding(tmp_path: Path, quantisation: dict[str, Any], shapes: Shapes, expected: str) -> None:
    """With what is wrong and what to do."""
    (found,) = findings(tmp_path, quantisation, shapes)

    assert re.match(expected, found), found
