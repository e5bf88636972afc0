"""Published families, rebuilt small and saved by transformers: nothing is found wrong with any."""

import json
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.config_class import config_class
from npu_conformance.checkpoints.inspect import examine
from npu_conformance.checkpoints.rope_forms import older_form
from tests.unit.helpers.tiny_checkpoints import LLAMA, Shapes, llama, write

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "moe_intermediate_size": 32,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
    "q_lora_rank": 32,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
}
FAMILIES = (
    "llama",
    "qwen2",
    "qwen3_moe",
    "qwen3_next",
    "mistral",
    "mixtral",
    "gemma3_text",
    "deepseek_v3",
    "gpt_oss",
    "glm4_moe",
    "phi3",
    "lfm2",
    "hunyuan_v1_moe",
    "nemotron_h",
    "gpt2",
)


# Those of families that also see, beside SMALL.
TOWER: dict[str, Any] = {
    "depth": 1,
    "num_hidden_layers": 1,
    "hidden_size": 32,
    "out_hidden_size": 64,
    "intermediate_size": 32,
    "num_heads": 2,
    "num_attention_heads": 2,
    "head_dim": 16,
    "image_size": 28,
    "patch_size": 14,
    "num_position_embeddings": 16,
    "deepstack_visual_indexes": [],
}
SEEING = ("qwen3_5", "gemma3", "qwen3_vl", "qwen2_5_vl", "glm4v")
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LONG = {"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}


def wrong(folder: Path) -> list[str]:
    """What is said of a folder, notes too."""
    return [str(finding) for finding in examine(folder).findings]


def spellings(config: dict[str, Any]) -> list[dict[str, Any]]:
    """A config.json as it is, as transformers 4 wrote it, and without what its class takes by itself."""
    text = config.get("text_config", config)
    older = {key: value for key, value in text.items() if key not in ("rope_parameters", "dtype")}
    older |= (older_form(text) or {}) | {"torch_dtype": "bfloat16"}
    defaults = config_class(text).defaults
    short = {key: value for key, value in text.items() if key == "model_type" or value != defaults.get(key, value)}
    return [config, *(part if text is config else config | {"text_config": part} for part in (older, short))]


def save(folder: Path, config: Any, seeing: bool = False) -> None:
    """A model of a config, with weights at random."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    made = AutoModelForImageTextToText if seeing else AutoModelForCausalLM
    made.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')


def small(config: Any, sizes: dict[str, Any]) -> dict[str, Any]:
    """Of these sizes, those that a config's class has."""
    return {key: value for key, value in sizes.items() if hasattr(config, key)}


def check(folder: Path) -> None:
    """Nothing is wrong, however it is spelled."""
    path = folder / "config.json"
    for config in spellings(json.loads(path.read_bytes())):
        path.write_text(json.dumps(config))
        assert wrong(folder) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_wrong_with_a_published_family(tmp_path: Path, family: str) -> None:
    """Whatever it calls its tensors, and whether its layers are alike or not."""
    from transformers import CONFIG_MAPPING

    plain = CONFIG_MAPPING[family]()
    save(tmp_path, type(plain)(**small(plain, SMALL)))

    check(tmp_path)


@pytest.mark.parametrize("family", SEEING)
def test_nothing_is_wrong_with_one_that_sees(tmp_path: Path, family: str) -> None:
    """Its language model's config is nested, and has keys of its own beside it."""
    from transformers import CONFIG_MAPPING

    plain = CONFIG_MAPPING[family]()
    text, vision = plain.text_config, plain.vision_config
    parts = {
        "text_config": type(text)(**small(text, SMALL)),
        "vision_config": type(vision)(**small(vision, TOWER)),
    }
    save(tmp_path, type(plain)(**parts), seeing=True)

    check(tmp_path)


@pytest.mark.parametrize(
    ("family", "more"),
    [
        ("llama", {"rope_parameters": LLAMA3 | {"rope_theta": 5e5, "original_max_position_embeddings": 64}}),
        ("llama", {"tie_word_embeddings": True}),
        ("phi3", {"rope_parameters": LONG | {"rope_theta": 1e4, "original_max_position_embeddings": 64}}),
        ("mistral", {"sliding_window": 4096, "max_position_embeddings": 32768}),
        ("qwen2", {"use_sliding_window": False, "sliding_window": None, "max_window_layers": 4}),
        ("qwen3", {"head_dim": 32, "tie_word_embeddings": True}),
    ],
)
def test_nothing_is_wrong_with_its_usual_keys(tmp_path: Path, family: str, more: dict[str, Any]) -> None:
    """Scaled rotations, windows, a head that is the embedding, heads of another size than the width has room for."""
    from transformers import CONFIG_MAPPING

    plain = CONFIG_MAPPING[family]()
    save(tmp_path, type(plain)(**small(plain, SMALL) | more))

    check(tmp_path)


def internlm2() -> Shapes:
    """Queries, keys and values in one tensor, and names of its own."""
    shapes: Shapes = {
        "model.tok_embeddings.weight": ("BF16", (50, 64)),
        "model.norm.weight": ("BF16", (64,)),
        "output.weight": ("BF16", (50, 64)),
    }
    for index in range(4):
        layer = f"model.layers.{index}."
        linears = {"attention.wqkv": (128, 64), "attention.wo": (64, 64), "feed_forward.w1": (96, 64)}
        linears |= {"feed_forward.w3": (96, 64), "feed_forward.w2": (64, 96)}
        shapes |= {f"{layer}{name}.weight": ("BF16", shape) for name, shape in linears.items()}
        shapes |= {f"{layer}{name}_norm.weight": ("BF16", (64,)) for name in ("attention", "ffn")}
    return shapes


@pytest.mark.parametrize(
    ("keys", "shapes"),
    [
        ({"model_type": "internlm2", "bias": False, "rope_scaling": {"type": "dynamic", "factor": 2.0}}, internlm2()),
        (
            {"model_type": "minicpm", "scale_emb": 12, "dim_model_base": 256, "scale_depth": 1.4, "rope_scaling": None},
            {name: entry for name, entry in llama().items() if name != "lm_head.weight"},
        ),
    ],
    ids=["InternLM2", "MiniCPM"],
)
def test_nothing_is_wrong_with_one_that_brings_its_code(tmp_path: Path, keys: dict[str, Any], shapes: Shapes) -> None:
    """Whose class is not known here: what it leaves out is not judged."""
    published = {key: value for key, value in LLAMA.items() if key not in ("head_dim", "tie_word_embeddings")}
    config = published | keys | {"auto_map": {"AutoConfig": "configuration.Config"}, "torch_dtype": "bfloat16"}

    assert wrong(write(tmp_path, config, shapes)) == []
