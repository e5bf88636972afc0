"""Layers: one that lacks something is named with what it lacks, as is a missing or needless head."""

from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.inspect import examine
from tests.unit.helpers.tiny_checkpoints import LLAMA, Shapes, llama, write

LINEAR: Shapes = {
    f"model.layers.{index}.linear_attn.{name}": ("BF16", (64, 8))
    for index in (0, 2)
    for name in ("in_proj.weight", "out_proj.weight", "A_log")
}


def mixed() -> Shapes:
    """Linear attention in layers 0 and 2, softmax attention in 1 and 3."""
    plain = {
        name: entry for name, entry in llama().items() if "self_attn" not in name or ".1." in name or ".3." in name
    }
    return plain | LINEAR


def two_attentions() -> Shapes:
    """Attention with a gate in layers 0 to 2, plain in layer 3, whose keys and values are joined."""
    gated: Shapes = {f"model.layers.{index}.self_attn.gate.weight": ("BF16", (64, 8)) for index in range(3)}
    joined: Shapes = {"model.layers.3.self_attn.kv_proj.weight": ("BF16", (64, 8))}
    return without(llama(), *[f"model.layers.3.self_attn.{name}_proj.weight" for name in "kv"]) | gated | joined


def without(shapes: Shapes, *names: str) -> Shapes:
    """Fewer tensors."""
    assert set(names) <= set(shapes)
    return {name: entry for name, entry in shapes.items() if name not in names}


def findings(folder: Path, config: dict[str, Any], shapes: Shapes) -> list[str]:
    """What is said of the folder."""
    return [f"{finding.level} {finding}" for finding in examine(write(folder, config, shapes)).findings]


KINDS = LLAMA | {"layer_types": ["linear_attention", "full_attention"] * 2}
QUANTISED = LLAMA | {"quantization_config": {"quant_method": "other"}}
PACKED: Shapes = {
    "model.layers.2.self_attn.q_proj.qweight": ("I32", (16, 64)),
    "model.layers.2.mlp.up_proj.bias": ("F16", (1,)),
}


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        pytest.param(LLAMA, llama(), id="all layers alike"),
        pytest.param(KINDS, mixed(), id="kinds by layer_types"),
        pytest.param(LLAMA, mixed(), id="kinds by modules"),
        pytest.param(LLAMA, two_attentions(), id="kinds by tensors"),
        pytest.param(
            LLAMA | {"mixer_types": ["lightning"] * 3 + ["plain"]},
            without(llama(), *[f"model.layers.3.self_attn.{name}_proj.weight" for name in "kv"]),
            id="kinds by another key",
        ),
        pytest.param(
            LLAMA, llama() | {"model.layers.0.self_attn.extra": ("F32", (1,))}, id="something only one layer has"
        ),
        pytest.param(
            QUANTISED, without(llama(), "model.layers.2.self_attn.q_proj.weight") | PACKED, id="one layer quantised"
        ),
        pytest.param(
            LLAMA | {"num_kv_shared_layers": 1},
            without(llama(), "model.layers.3.self_attn.k_proj.weight"),
            id="shared keys",
        ),
        pytest.param(
            LLAMA | {"tie_word_embeddings": True}, without(llama(), "lm_head.weight"), id="tied, without a head"
        ),
        pytest.param(
            LLAMA | {"architectures": ["LlamaForSequenceClassification"]},
            without(llama(), "lm_head.weight"),
            id="a classifier",
        ),
        pytest.param(
            {key: value for key, value in LLAMA.items() if key != "tie_word_embeddings"},
            without(llama(), "lm_head.weight"),
            id="a tie that is the class's own",
        ),
    ],
)
def test_a_whole_model_has_no_findings(tmp_path: Path, config: dict[str, Any], shapes: Shapes) -> None:
    """Whatever its layers are."""
    assert findings(tmp_path, config, shapes) == []


@pytest.mark.parametrize(
    ("config", "shapes", "expected"),
    [
        pytest.param(
            LLAMA,
            without(llama(), "model.layers.2.self_attn.q_proj.weight", "model.layers.2.input_layernorm.weight"),
            "error model.layers.2: has no input_layernorm.weight, self_attn.q_proj.weight, as most of the 4 layers",
            id="two tensors",
        ),
        pytest.param(
            LLAMA,
            without(llama(), *[f"model.layers.1.self_attn.{name}_proj.weight" for name in "qkvo"]),
            "error model.layers.1: has no self_attn.k_proj.weight, self_attn.o_proj.weight, self_attn.q_proj.weight "
            "(and 1 more), as most",
            id="a module",
        ),
        pytest.param(
            KINDS,
            without(mixed(), "model.layers.2.linear_attn.A_log"),
            "error model.layers.2: has no linear_attn.A_log, as most of the 2 layers of its kind have",
            id="a tensor of a rare kind",
        ),
        pytest.param(
            LLAMA,
            without(llama(), *[name for name in llama() if ".layers.1." in name]),
            "error model.layers: no tensors of layer 1, the last is layer 3: download the model again",
            id="a layer",
        ),
        pytest.param(
            LLAMA | {"layer_types": ["full_attention"] * 5},
            llama(),
            "error config.json: layer_types lists 5 layers, the weights have 4",
            id="kinds of other layers",
        ),
        pytest.param(
            LLAMA,
            without(llama(), "lm_head.weight"),
            "error lm_head.weight: missing, and tie_word_embeddings is false",
            id="no head",
        ),
        pytest.param(
            LLAMA | {"tie_word_embeddings": True},
            llama(),
            "note lm_head.weight: stored although tie_word_embeddings is true",
            id="a needless head",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, config: dict[str, Any], shapes: Shapes, expected: str) -> None:
    """One finding, of the layer or the head."""
    (found,) = findings(tmp_path, config, shapes)

    assert found.startswith(expected)
