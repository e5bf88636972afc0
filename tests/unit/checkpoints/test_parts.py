"""Outer parts that are missing and layers of other shapes are named; families that have none or others are not."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npu_conformance.checkpoints.inspect import examine
from npu_conformance.checkpoints.unchecked import unchecked
from tests.unit.helpers.tiny_checkpoints import LLAMA, Shapes, llama, write

LAYERS = "model.layers."


def without(*beginnings: str) -> Shapes:
    """A Llama that lacks some tensors."""
    return {name: entry for name, entry in llama().items() if not name.startswith(beginnings)}


def reshaped(shape: tuple[int, ...], module: str, *layers: int) -> Shapes:
    """A Llama with other shapes for one module in some layers."""
    return llama() | {f"{LAYERS}{layer}.{module}.weight": ("BF16", shape) for layer in layers}


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (without("model.embed_tokens"), "model.embed_tokens.weight: missing, and no other embedding is there"),
        (without(LAYERS), "model.layers: no tensors of any layer, num_hidden_layers is 4"),
        (without("model.norm"), "model.norm.weight: missing, and there is no other final norm"),
        (llama() | {"lm_head.weight": ("BF16", (3200,))}, "lm_head.weight: is of shape [3200], expected 2 dimensions"),
        (llama() | {"model.norm.weight": ("BF16", (8, 8))}, "model.norm.weight: is of shape [8, 8], expected 1 dimen"),
        (
            {f"module.{name}": entry for name, entry in llama().items()},
            "module.model.embed_tokens.weight: all names begin with module., which the training's wrapper adds; vLLM",
        ),
        ({"foreign": ("BF16", (2, 3))}, "weights: 1 tensors of 12 bytes in all, which the embedding of config.json"),
        (
            llama() | {f"{LAYERS}99999999999.x.weight": ("BF16", (1,))},
            "model.layers: no tensors of layer 4, 5, 6 (and 99999999992 more), the last is layer 99999999999",
        ),
        (
            reshaped((32, 64), "self_attn.q_proj", 2),
            "model.layers.2.self_attn.q_proj.weight: is [32, 64], in most layers and by config.json [64, 64]",
        ),
        (
            reshaped((32, 128), "self_attn.o_proj", 0),
            "model.layers.0.self_attn.o_proj.weight: is [32, 128], in most layers and by config.json [64, 64]",
        ),
        (
            reshaped((32, 64), "self_attn.q_proj", 0, 1, 2, 3),
            "model.layers.*.self_attn.q_proj.weight: is [32, 64] in all layers, expected 64 outputs (4 heads of 16)",
        ),
        (
            reshaped((48, 32), "self_attn.v_proj", 0, 1, 2, 3),
            "model.layers.*.self_attn.v_proj.weight: is [48, 32] in all layers, expected 64 inputs, as wide as",
        ),
    ],
)
def test_a_part_that_is_not_right(tmp_path: Path, shapes: Shapes, expected: str) -> None:
    """Is the error."""
    found = [str(finding) for finding in examine(write(tmp_path, LLAMA, shapes)).findings if finding.level == "error"]

    assert any(line.startswith(expected) for line in found), found


def test_weights_that_only_transformers_knows_of(tmp_path: Path) -> None:
    """By a key of config.json; the files that both read may be named there."""
    folder = write(tmp_path, LLAMA | {"transformers_weights": "other.safetensors"}, llama())
    (found,) = [str(finding) for finding in examine(folder).findings if finding.level == "error"]
    assert found == (
        "config.json: transformers_weights is 'other.safetensors': transformers reads it, vLLM model.safetensors: "
        "remove the key"
    )

    write(tmp_path, LLAMA | {"transformers_weights": "model.safetensors"}, llama())
    assert not [finding for finding in examine(folder).findings if finding.level == "error"]


def renamed(*pairs: tuple[str, str]) -> Shapes:
    """A Llama under other names."""
    shapes = llama()
    for old, new in pairs:
        shapes = {name.replace(old, new): entry for name, entry in shapes.items()}
    return shapes


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param(renamed(("model.norm", "model.embedding_norm")), id="LFM2"),
        pytest.param(renamed(("model.norm", "model.final_layernorm")), id="Phi-2, Jamba"),
        pytest.param(renamed(("embed_tokens", "tok_embeddings"), ("self_attn", "attention")), id="InternLM2"),
        pytest.param(renamed(("model.layers", "transformer.h"), ("model.embed_tokens", "transformer.wte")), id="Qwen"),
        pytest.param(renamed(("model.", "model.language_model.")), id="multimodal"),
        pytest.param(renamed(("model.", "language_model.model.")), id="Gemma 3, Mistral 3"),
        pytest.param(renamed(("model.layers", "backbone.layers"), ("self_attn", "mixer")), id="Nemotron-H"),
        pytest.param(without("model.embed_tokens") | {"fc.weight": ("BF16", (64, 128))}, id="EAGLE"),
        pytest.param(
            {name: entry for name, entry in llama().items() if "norm" not in name},
            id="OLMo, no norms stored",
        ),
    ],
)
def test_parts_of_other_names_are_not_missed(tmp_path: Path, shapes: Shapes) -> None:
    """What is not recognised is no error."""
    assert [finding for finding in examine(write(tmp_path, LLAMA, shapes)).findings if finding.level == "error"] == []


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (llama, None),
        (
            lambda: llama() | {f"visual.blocks.{index}.qkv.weight": ("BF16", (1,)) for index in range(3)},
            "not recognised: 3 tensors, visual.blocks.*.qkv.weight: shapes not checked",
        ),
        (
            lambda: renamed(("model.layers", "transformer.h"), ("model.embed_tokens", "transformer.wte")),
            "not recognised: 39 tensors, transformer.wte.weight, model.norm.weight, lm_head.weight (and 9 more): ",
        ),
    ],
)
def test_what_is_not_checked_is_said(tmp_path: Path, shapes: Callable[[], Shapes], expected: str | None) -> None:
    """By the names' pattern, and how many there are."""
    found = unchecked(examine(write(tmp_path, LLAMA, shapes())))

    assert found == expected if expected is None else found is not None and found.startswith(expected)


@pytest.mark.parametrize(("inputs", "outputs", "wrong"), [(64, 96, False), (64, 64, True)])
@pytest.mark.parametrize("part", ["gate_up_proj", "down_proj"])
def test_experts_that_may_lie_either_way(tmp_path: Path, part: str, inputs: int, outputs: int, *, wrong: bool) -> None:
    """The engine would turn them round and the reference would not; of other families both go by their own rule."""
    name = f"model.language_model.layers.0.mlp.experts.{part}"
    shapes = renamed(("model.", "model.language_model.")) | {name: ("BF16", (4, inputs, outputs))}
    config = LLAMA | {"model_type": "qwen3_vl_moe"}

    found = [str(one) for one in examine(write(tmp_path, config, shapes)).findings if one.about == name]

    assert bool(found) == wrong
    assert not wrong or found[0].startswith(
        f"{name}: is [4, 64, 64], as many rows as columns: vLLM turns experts round"
    )
    assert not examine(write(tmp_path, config | {"model_type": "qwen3_5_moe"}, shapes)).findings


def test_a_method_that_is_not_recognised_is_said(tmp_path: Path) -> None:
    """Of a format that vLLM may know, and of none; not of one whose parts were checked."""
    for method in ("bitsandbytes", "nothing"):
        config = LLAMA | {"quantization_config": {"quant_method": method}}
        assert unchecked(examine(write(tmp_path, config, llama()))) == (
            f"not recognised: quantised by {method}: its parts and options not checked"
        )
    config = LLAMA | {"quantization_config": {"quant_method": "FP8"}}
    assert unchecked(examine(write(tmp_path, config, llama()))) is None

    config = LLAMA | {"quantization_config": {"quant_method": "ascend"}}
    (tmp_path / "quant_model_description.json").write_text("{}")
    assert unchecked(examine(write(tmp_path, config, llama()))) is None


def test_rotations_that_are_not_recognised_are_said(tmp_path: Path) -> None:
    """Their keys are not checked, and a run cannot compute their frequencies a second time."""
    config = LLAMA | {"rope_scaling": {"type": "telechat3-yarn", "factor": 4.0}}
    found = unchecked(examine(write(tmp_path, config, llama())))
    assert found == "not recognised: rope_type 'telechat3-yarn': its keys not checked"


DRAWN_SHAPES = st.lists(st.sampled_from([0, 1, 16, 32, 48, 64, 96, 128]), max_size=3).map(tuple)
NAMES = st.sampled_from(sorted(llama()))
CHANGES = st.dictionaries(NAMES, st.none() | st.tuples(st.sampled_from(["BF16", "F32", "F8_E4M3"]), DRAWN_SHAPES))
NEW = st.from_regex(
    r"(model\.)?(layers\.[0-9]{1,22}\.)?(self_attn\.q_proj|mlp\.experts\.[0-9]+\.up_proj|x)\.weight", fullmatch=True
)


@settings(max_examples=60, deadline=2000)
@given(changes=CHANGES, more=st.dictionaries(NEW, st.tuples(st.just("BF16"), DRAWN_SHAPES), max_size=2))
def test_any_names_and_shapes_are_examined(changes: dict[str, Any], more: Shapes) -> None:
    """No exception at all, and of a Llama's tensors one that is missing or of another shape is found."""
    shapes = {name: changes.get(name, entry) for name, entry in llama().items()}
    with tempfile.TemporaryDirectory() as folder:
        found = examine(write(Path(folder), LLAMA, {name: entry for name, entry in (shapes | more).items() if entry}))

    lines = [str(finding) for finding in found.findings]
    assert all(line.isprintable() and len(line) < 1000 for line in lines)
    changed = {name for name, entry in changes.items() if entry is None or entry[1] != llama()[name][1]}
    assert more or len(changed) != 1 or any(finding.level == "error" for finding in found.findings), changed
