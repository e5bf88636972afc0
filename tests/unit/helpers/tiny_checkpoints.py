"""Checkpoint folders for tests of inspection, made on the spot from names and shapes."""

import json
import struct
from math import prod
from pathlib import Path
from typing import Any

Shapes = dict[str, tuple[str, tuple[int, ...]]]
"""Dtype and shape by name, as a safetensors header has them."""

_SIZES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2}
LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 96,
    "vocab_size": 50,
    "tie_word_embeddings": False,
}


def linears(config: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of a Llama layer's linear layers."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    return {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }


def llama(config: dict[str, Any] = LLAMA, root: str = "model.") -> Shapes:
    """A Llama's tensors, in bfloat16."""
    hidden = config["hidden_size"]
    shapes: Shapes = {
        f"{root}embed_tokens.weight": ("BF16", (config["vocab_size"], hidden)),
        f"{root}norm.weight": ("BF16", (hidden,)),
        "lm_head.weight": ("BF16", (config["vocab_size"], hidden)),
    }
    for index in range(config["num_hidden_layers"]):
        layer = f"{root}layers.{index}."
        shapes |= {f"{layer}{name}.weight": ("BF16", shape) for name, shape in linears(config).items()}
        shapes |= {f"{layer}{name}_layernorm.weight": ("BF16", (hidden,)) for name in ("input", "post_attention")}
    return shapes


def write(folder: Path, config: dict[str, Any], shapes: Shapes, name: str = "model.safetensors") -> Path:
    """A folder with config, tokenizer and a weights file of zeros, which takes no room on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["A"], **config}))
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')
    header, end = {}, 0
    for tensor, (dtype, shape) in shapes.items():
        start, end = end, end + prod(shape) * _SIZES.get(dtype, 1)
        header[tensor] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with (folder / name).open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return folder
