"""Shapes against config.json: wrong values are found with the right ones, and right ones are left alone."""

from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.inspect import examine
from npu_conformance.checkpoints.shapes import corrections, shape_findings
from tests.unit.helpers.tiny_checkpoints import LLAMA, Shapes, linears, llama, write

NORMS: Shapes = {
    f"model.layers.{index}.self_attn.{name}_norm.weight": ("BF16", (16,)) for index in range(4) for name in "qk"
}


def gptq(config: dict[str, Any], bits: int) -> Shapes:
    """A Llama whose linear layers are GPTQ's."""
    shapes = llama(config)
    for index in range(config["num_hidden_layers"]):
        for name, (outputs, inputs) in linears(config).items():
            module = f"model.layers.{index}.{name}"
            del shapes[f"{module}.weight"]
            shapes |= {
                f"{module}.qweight": ("I32", (inputs * bits // 32, outputs)),
                f"{module}.qzeros": ("I32", (1, outputs * bits // 32)),
                f"{module}.scales": ("F16", (1, outputs)),
            }
    return shapes


def found(folder: Path, config: dict[str, Any], shapes: Shapes) -> dict[str, tuple[str, int]]:
    """The corrections for a config beside weights of these shapes."""
    return corrections(examine(write(folder, config, shapes)))


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("hidden_size", 80),
        ("num_hidden_layers", 5),
        ("num_hidden_layers", 3),
        ("num_attention_heads", 8),
        ("num_key_value_heads", 4),
        ("head_dim", 32),
        ("head_dim", 20),
        ("intermediate_size", 128),
        ("vocab_size", 51),
    ],
)
@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param(llama(), id="plain"),
        pytest.param(llama() | NORMS, id="with norms of queries and keys"),
        pytest.param(gptq(LLAMA, 8), id="GPTQ int8"),
        pytest.param(gptq(LLAMA, 4), id="GPTQ int4"),
    ],
)
def test_each_wrong_value_is_corrected_alone(tmp_path: Path, shapes: Shapes, key: str, wrong: int) -> None:
    """And the right config needs no correction."""
    assert found(tmp_path, LLAMA, shapes) == {}
    assert found(tmp_path, LLAMA | {key: wrong}, shapes) == {key: (str(wrong), LLAMA[key])}


@pytest.mark.parametrize(
    "head",
    [
        {"head_dim": 128},
        {"rope_scaling": {"rope_type": "longrope", "short_factor": [1.0] * 64, "long_factor": [1.0] * 64}},
    ],
)
def test_a_published_config_of_another_size(tmp_path: Path, head: dict[str, Any]) -> None:
    """All wrong values in one message; the size of a head is declared, or follows from LongRoPE's factors."""
    right = LLAMA | {
        "hidden_size": 2048,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "head_dim": 128,
        "intermediate_size": 6144,
        "vocab_size": 73448,
    }
    published = right | {
        "hidden_size": 2560,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "intermediate_size": 10240,
    }
    del published["head_dim"]
    checkpoint = examine(write(tmp_path, published | head, llama(right)))

    assert corrections(checkpoint) == {
        "hidden_size": ("2560", 2048),
        "num_hidden_layers": ("32", 28),
        "num_attention_heads": ("32", 16),
        "intermediate_size": ("10240", 6144),
    }
    assert [str(finding) for finding in checkpoint.findings] == [
        "config.json: hidden_size is 2560, the weights say 2048; num_hidden_layers is 32, the weights say 28; "
        "num_attention_heads is 32, the weights say 16; intermediate_size is 10240, the weights say 6144: config and "
        "weights are not of the same model; if the weights are the right ones, "
        f"`npu-conformance doctor --fix-config {tmp_path}` writes their values"
    ]


def test_heads_that_do_not_fit_and_cannot_be_derived(tmp_path: Path) -> None:
    """Without the size of a head either number may be the wrong one: an error without a correction."""
    config = {key: value for key, value in LLAMA.items() if key != "head_dim"}
    assert shape_findings(examine(write(tmp_path, config, llama()))) == []

    (finding,) = shape_findings(examine(write(tmp_path, config | {"num_attention_heads": 8}, llama())))

    assert finding.level == "error"
    assert finding.message.startswith(
        "num_attention_heads 8 and num_key_value_heads 2 do not fit the weights, whose queries"
    )
    assert found(tmp_path, config | {"num_attention_heads": 8}, llama()) == {}


def test_null_is_a_size_where_a_library_would_take_the_same(tmp_path: Path) -> None:
    """Else it is corrected as a wrong number is."""
    plain = {"head_dim": None, "num_key_value_heads": 2}
    assert found(tmp_path, LLAMA | plain, llama()) == {}
    wide = LLAMA | {"head_dim": 32}
    nulls = dict.fromkeys(("head_dim", "num_key_value_heads", "vocab_size", "hidden_size", "num_hidden_layers"))

    assert found(tmp_path, wide | {"head_dim": None}, llama(wide)) == {"head_dim": ("null", 32)}
    for key, value in nulls.items():
        assert found(tmp_path, wide | {key: value}, llama(wide)).get(key, (None, None))[1] == wide[key]


def hybrid() -> tuple[dict[str, Any], Shapes]:
    """Linear attention in three layers of four, a gate in q_proj, a vision tower, all nested."""
    text = LLAMA | {"layer_types": ["linear_attention"] * 3 + ["full_attention"], "attn_output_gate": True}
    root = "model.language_model."
    shapes = llama(text, root)
    for index in range(3):
        layer = f"{root}layers.{index}."
        for name in "qkvo":
            del shapes[f"{layer}self_attn.{name}_proj.weight"]
        shapes[f"{layer}linear_attn.in_proj_qkv.weight"] = ("BF16", (160, 64))
        shapes[f"{layer}linear_attn.A_log"] = ("F32", (4,))
    shapes[f"{root}layers.3.self_attn.q_proj.weight"] = ("BF16", (128, 64))
    shapes[f"{root}layers.3.self_attn.q_norm.weight"] = ("BF16", (16,))
    shapes["model.visual.blocks.0.attn.qkv.weight"] = ("BF16", (24, 8))
    shapes["mtp.layers.0.mlp.up_proj.weight"] = ("BF16", (7, 64))
    return {"architectures": ["Qwen3_5ForConditionalGeneration"], "text_config": text, "hidden_size": 1}, shapes


def experts() -> tuple[dict[str, Any], Shapes]:
    """One dense layer, then layers of experts whose width is another key's; a layer of predictions behind them."""
    config = LLAMA | {
        "moe_intermediate_size": 24,
        "num_experts": 2,
        "num_nextn_predict_layers": 1,
        "num_hidden_layers": 3,
    }
    shapes = llama(LLAMA)
    for index in (1, 2, 3):
        layer = f"model.layers.{index}.mlp."
        for name in ("gate", "up", "down"):
            del shapes[f"{layer}{name}_proj.weight"]
            for expert in range(2):
                shape = (64, 24) if name == "down" else (24, 64)
                shapes[f"{layer}experts.{expert}.{name}_proj.weight"] = ("BF16", shape)
        shapes[f"{layer}gate.weight"] = ("BF16", (2, 64))
    return config, shapes


def latent() -> tuple[dict[str, Any], Shapes]:
    """Latent attention: no k_proj, heads of several sizes."""
    shapes = llama()
    for index in range(4):
        layer = f"model.layers.{index}.self_attn."
        for name in "kv":
            del shapes[f"{layer}{name}_proj.weight"]
        shapes[f"{layer}kv_b_proj.weight"] = ("BF16", (96, 8))
    return LLAMA | {"num_attention_heads": 2, "head_dim": 7}, shapes


def tied() -> tuple[dict[str, Any], Shapes]:
    """Heads wider than the model together, and no head of its own."""
    config = LLAMA | {"head_dim": 32, "tie_word_embeddings": True, "hidden_activation": "gelu_pytorch_tanh"}
    shapes = llama(config)
    del shapes["lm_head.weight"]
    return config, shapes


def unlike_layers() -> tuple[dict[str, Any], Shapes]:
    """Layers of several widths, as pruned models have them."""
    shapes = llama()
    shapes["model.layers.2.mlp.up_proj.weight"] = ("BF16", (32, 64))
    shapes["model.layers.2.mlp.down_proj.weight"] = ("BF16", (64, 32))
    return LLAMA | {"intermediate_size": 7}, shapes


def more_tokens_than_answers() -> tuple[dict[str, Any], Shapes]:
    """An image's tokens are embedded and never answered with."""
    return LLAMA, llama() | {"model.embed_tokens.weight": ("BF16", (58, 64))}


def encoder_and_decoder() -> tuple[dict[str, Any], Shapes]:
    """num_hidden_layers is the encoder's."""
    return LLAMA | {"num_hidden_layers": 32, "hidden_size": 9}, llama(root="model.decoder.")


def two_bits_a_byte() -> tuple[dict[str, Any], Shapes]:
    """Packed in a way of its own: nothing can be said of what is packed."""
    shapes = {
        name: ("U8", (shape[0] // 4, shape[1])) if "_proj" in name else (dtype, shape)
        for name, (dtype, shape) in llama().items()
    }
    return LLAMA | {"intermediate_size": 7, "quantization_config": {"quant_method": "bitnet"}}, shapes


@pytest.mark.parametrize(
    "model",
    [hybrid, experts, latent, tied, unlike_layers, more_tokens_than_answers, encoder_and_decoder, two_bits_a_byte],
)
def test_nothing_is_said_where_shapes_do_not_say_it(tmp_path: Path, model: Any) -> None:
    """Other architectures, and configs that fit; no finding of any kind."""
    checkpoint = examine(write(tmp_path, *model()))

    assert checkpoint.findings == ()


def test_a_nested_config_is_corrected_where_it_is(tmp_path: Path) -> None:
    """The hybrid's text_config, through its gate."""
    config, shapes = hybrid()
    config["text_config"] |= {"num_attention_heads": 8, "hidden_size": 128, "intermediate_size": 4}

    assert found(tmp_path, config, shapes) == {
        "num_attention_heads": ("8", 4),
        "hidden_size": ("128", 64),
        "intermediate_size": ("4", 96),
    }
