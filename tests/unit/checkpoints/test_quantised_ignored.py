"""Lists of modules that are not quantised, against what is stored."""

import time
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.inspect import examine
from tests.unit.helpers.tiny_checkpoints import LLAMA, Shapes, linears, llama, write

FP8: dict[str, Any] = {"quant_method": "fp8", "activation_scheme": "dynamic", "modules_to_not_convert": ["lm_head"]}
DOWN = "model.layers.1.mlp.down_proj"
GROUP = {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "tensor"}}
COMPRESSED: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": GROUP},
    "ignore": ["lm_head"],
}
MODELOPT: dict[str, Any] = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}


def quantised(*plain: str, root: str = "model.") -> Shapes:
    """A Llama in FP8 with a scale a tensor, but for these modules."""
    shapes = llama(root=root)
    for index in range(LLAMA["num_hidden_layers"]):
        for name, shape in linears(LLAMA).items():
            module = f"{root}layers.{index}.{name}"
            if module not in plain:
                shapes |= {f"{module}.weight": ("F8_E4M3", shape), f"{module}.weight_scale": ("F32", ())}
    return shapes


def findings(folder: Path, quantisation: dict[str, Any], shapes: Shapes) -> list[str]:
    """What is said of a folder with this quantization_config."""
    found = examine(write(folder, LLAMA | {"quantization_config": quantisation}, shapes)).findings
    return [f"{finding.level} {finding}" for finding in found]


@pytest.mark.parametrize(
    ("quantisation", "plain"),
    [
        pytest.param(FP8, (), id="the head"),
        pytest.param(FP8 | {"modules_to_not_convert": None}, (), id="no list"),
        pytest.param(FP8 | {"ignored_layers": [DOWN]}, (DOWN,), id="the other key"),
        pytest.param(FP8 | {"modules_to_not_convert": ["lm_head", DOWN]}, (DOWN,), id="by its whole name"),
        pytest.param(
            FP8 | {"modules_to_not_convert": ["model.layers.0.self_attn.qkv_proj"]},
            tuple(f"model.layers.0.self_attn.{name}_proj" for name in "qkv"),
            id="as vLLM fuses them",
        ),
        pytest.param(COMPRESSED | {"ignore": [r"re:.*layers\.1\.mlp\.down.*"]}, (DOWN,), id="a pattern"),
        pytest.param(
            COMPRESSED | {"config_groups": {"a": GROUP | {"targets": ["re:.*(self_attn|gate_proj|up_proj).*"]}}},
            tuple(f"model.layers.{index}.mlp.down_proj" for index in range(4)),
            id="no target",
        ),
        pytest.param(MODELOPT | {"ignore": ["model.layers.1.mlp.d*"]}, (DOWN,), id="a wildcard"),
        pytest.param(
            {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True, "desc_act": False},
            None,
            id="no list at all",
        ),
    ],
)
def test_a_list_that_fits_has_no_findings(
    tmp_path: Path, quantisation: dict[str, Any], plain: tuple[str, ...] | None
) -> None:
    """Also in the ways that only some methods read."""
    if plain is None:
        shapes = llama()
        del shapes[f"{DOWN}.weight"]
        shapes |= {
            f"{DOWN}.qweight": ("I32", (12, 64)),
            f"{DOWN}.qzeros": ("I32", (3, 8)),
            f"{DOWN}.scales": ("F16", (3, 64)),
        }
    else:
        shapes = quantised(*plain)

    assert findings(tmp_path, quantisation, shapes) == []


@pytest.mark.parametrize("method", [FP8, COMPRESSED, MODELOPT])
def test_a_module_that_is_not_listed_is_a_suspicion(tmp_path: Path, method: dict[str, Any]) -> None:
    """VLLM would make a quantised layer of it."""
    (found,) = findings(tmp_path, method, quantised(DOWN))

    assert found.startswith(f"suspicion {DOWN}: is stored unquantised, but the config does not list it: vLLM")


def test_a_name_without_its_beginning_is_pointed_at(tmp_path: Path) -> None:
    """It matches nothing in vLLM, and that it was meant so is plain."""
    entry = DOWN.removeprefix("model.")
    first, second = findings(tmp_path, FP8 | {"modules_to_not_convert": [entry]}, quantised(DOWN))

    assert f"does not list it (the list has {entry}, which is not its whole name): vLLM would read" in first
    assert second.startswith(f"note {entry}: is listed as not quantised, and no stored module has this name")


@pytest.mark.parametrize(
    ("method", "key"), [(FP8, "modules_to_not_convert"), (COMPRESSED, "ignore"), (MODELOPT, "ignore")]
)
def test_a_listed_module_that_is_quantised_is_a_suspicion(tmp_path: Path, method: dict[str, Any], key: str) -> None:
    """Its codes would be loaded as weights."""
    (found,) = findings(tmp_path, method | {key: ["lm_head", DOWN]}, quantised())

    assert found.startswith(f"suspicion {DOWN}: is stored quantised, but the config lists it as not quantised")


def test_experts_go_by_their_layer(tmp_path: Path) -> None:
    """As in vLLM, where one listed expert stands for all; all are told as one."""
    shapes = quantised()
    for expert in range(3):
        module = f"model.layers.2.mlp.experts.{expert}.up_proj"
        shapes |= {f"{module}.weight": ("F8_E4M3", (96, 64)), f"{module}.weight_scale": ("F32", ())}
    quantisation = FP8 | {"modules_to_not_convert": ["model.layers.2.mlp.experts.1.up_proj"]}

    found = [line for line in findings(tmp_path, quantisation, shapes) if "is stored quantised" in line]

    assert len(found) == 1
    assert found[0].startswith("suspicion model.layers.2.mlp.experts.0.up_proj: is stored quantised")


@pytest.mark.parametrize(
    "pattern", ["re:(.*.*)*x{9}$", "re:(l+)+$|(.*)*!", "re:" + "a" * 2000, "re:(?:a{999}){999}", "re:[x{e<=9}"]
)
def test_a_pattern_that_finds_no_end_takes_no_time(tmp_path: Path, pattern: str) -> None:
    """A second at most, whatever it does in `re`."""
    before = time.monotonic()

    findings(tmp_path, COMPRESSED | {"ignore": [pattern, "lm_head"]}, quantised())

    assert time.monotonic() - before < 5
