"""Where a checkpoint says how it is quantised, and what is wrong with the keys."""

import json
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.inspect import examine
from tests.unit.helpers.tiny_checkpoints import Shapes, write

FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic"}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True, "desc_act": False}
CODES: Shapes = {"l.weight": ("F8_E4M3", (256, 200)), "l.weight_scale": ("F32", ())}
MODELOPT = {"producer": {"name": "modelopt", "version": "0.29"}, "quantization": {"quant_algo": "FP8"}}
AS_GPTQ: Shapes = {"l.qweight": ("I32", (16, 64)), "l.qzeros": ("I32", (4, 8)), "l.scales": ("F16", (4, 64))}


def findings(folder: Path, config: dict[str, Any], shapes: Shapes = CODES) -> list[str]:
    """What is said of a folder with this config."""
    return [f"{finding.level} {finding}" for finding in examine(write(folder, config, shapes)).findings]


@pytest.mark.parametrize(
    ("config", "where", "method"),
    [
        ({"quantization_config": FP8}, "config.json: quantization_config", "fp8"),
        ({"compression_config": FP8}, "config.json: compression_config", "fp8"),
        ({"text_config": {"quantization_config": FP8}}, "config.json: text_config.quantization_config", "fp8"),
        ({"quantization_config": None, "compression_config": FP8}, "config.json: compression_config", "fp8"),
        ({"quantization_config": FP8 | {"quant_method": "FP8"}}, "config.json: quantization_config", "fp8"),
        ({"quantization_config": MODELOPT}, "config.json: quantization_config", "modelopt"),
        (
            {"quantization_config": {"quant_method": "compressed_tensors"}},
            "config.json: quantization_config",
            "compressed-tensors",
        ),
    ],
)
def test_it_is_read_where_vllm_reads_it(tmp_path: Path, config: dict[str, Any], where: str, method: str) -> None:
    """And named as vLLM names it."""
    checkpoint = examine(write(tmp_path, config, CODES))

    assert checkpoint.announced is not None
    assert checkpoint.announced.where == where
    assert checkpoint.quantisation["quant_method"] == method
    assert not [finding for finding in checkpoint.findings if finding.level == "error"]


def test_the_file_of_modelopt_is_read(tmp_path: Path) -> None:
    """Unless config.json has a quantization_config of its own."""
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(MODELOPT))

    assert findings(tmp_path, {"text_config": {"quantization_config": GPTQ}}) == []
    assert examine(tmp_path).quantisation["quant_method"] == "modelopt"
    assert examine(write(tmp_path, {"quantization_config": FP8}, CODES)).quantisation["quant_method"] == "fp8"


@pytest.mark.parametrize(
    ("quantisation", "shapes", "expected"),
    [
        ("fp8", CODES, "error config.json: quantization_config is a str, expected a JSON object: copy"),
        ([FP8], CODES, "error config.json: quantization_config is a list, expected"),
        ({}, CODES, "error config.json: quantization_config.quant_method is None, expected such as fp8, gptq, awq"),
        (FP8 | {"quant_method": 8}, CODES, "error config.json: quantization_config.quant_method is 8, expected"),
        (
            FP8 | {"quant_method": "FP8"},
            CODES,
            "warning config.json: quantization_config.quant_method is 'FP8', which vLLM takes for 'fp8'",
        ),
        ({"quant_method": "fp8"}, CODES, "warning config.json: quantization_config has no activation_scheme, without"),
        (
            FP8 | {"activation_scheme": "Dynamic"},
            CODES,
            "error config.json: quantization_config.activation_scheme: expected 'dynamic' or 'static', found 'Dynamic'",
        ),
        (
            FP8 | {"weight_block_size": [128]},
            CODES,
            "error config.json: quantization_config.weight_block_size: expected two sizes above zero, found [128]",
        ),
        (
            FP8 | {"ignored_layers": "lm_head"},
            CODES,
            "error config.json: quantization_config.ignored_layers: expected a list, found 'lm_head'",
        ),
        (
            GPTQ | {"bits": "4"},
            AS_GPTQ,
            "error config.json: quantization_config.bits: expected 2, 3, 4 or 8, found '4'; correct it",
        ),
        (
            GPTQ | {"bits": 4.0},
            AS_GPTQ,
            "error config.json: quantization_config.bits: expected a whole number, found 4.0; correct it",
        ),
        (
            GPTQ | {"group_size": True},
            AS_GPTQ,
            "error config.json: quantization_config.group_size: expected a whole number, found true; correct it",
        ),
        (
            GPTQ | {"group_size": "32"},
            AS_GPTQ,
            "error config.json: quantization_config.group_size: expected a whole number, found '32'; correct it",
        ),
        (
            GPTQ | {"group_size": None},
            AS_GPTQ,
            "error config.json: quantization_config.group_size: expected a whole number, found null; correct it",
        ),
    ],
)
def test_wrong_keys_are_named(tmp_path: Path, quantisation: Any, shapes: Shapes, expected: str) -> None:
    """With what they are, and what they may be."""
    (found,) = findings(tmp_path, {"quantization_config": quantisation}, shapes)

    assert found.startswith(expected)
