"""Small files of models of many kinds, as their publishers write them, without weights."""

import json
from pathlib import Path
from typing import Any

COMMON: dict[str, Any] = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 151936,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
}
_TOKENS = {
    "eos_token": "<|end|>",
    "bos_token": {"content": "<|begin|>"},
    "added_tokens_decoder": {"151645": {"content": "<|end|>"}, "151644": {"content": "<|begin|>"}},
}
_LATENT = {"kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}


def compressed(kind: str, bits: int, *, inputs: bool) -> dict[str, Any]:
    """A quantization_config of compressed-tensors."""
    weights = {"type": kind, "num_bits": bits, "strategy": "channel"}
    group = {"weights": weights, "input_activations": {"type": kind, "num_bits": bits} if inputs else None}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}}


def _quantised(**about: Any) -> dict[str, Any]:
    return {"model_type": "qwen3", "head_dim": 128, "quantization_config": about}


CONFIGS: dict[str, dict[str, Any]] = {
    "dense": {"model_type": "qwen3", "head_dim": 128},
    "tied": {"model_type": "qwen2", "tie_word_embeddings": True},
    "mixture": {
        "model_type": "qwen3_moe",
        "head_dim": 128,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 768,
        "mlp_only_layers": [],
    },
    "latent": {
        "model_type": "deepseek_v3",
        **_LATENT,
        "n_routed_experts": 256,
        "num_experts_per_tok": 8,
        "n_shared_experts": 1,
        "n_group": 8,
        "topk_group": 4,
        "moe_intermediate_size": 2048,
        "first_k_dense_replace": 3,
        "num_nextn_predict_layers": 1,
        "num_key_value_heads": 32,
    },
    "linear": {
        "model_type": "qwen3_next",
        "head_dim": 256,
        "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 8,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "num_experts": 512,
        "num_experts_per_tok": 10,
        "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512,
    },
    "sliding": {
        "model_type": "gemma3_text",
        "head_dim": 256,
        "sliding_window": 1024,
        "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 5 + ["sliding_attention"] * 2,
    },
    "sinks": {"model_type": "gpt_oss", "num_local_experts": 32, "num_experts_per_tok": 4, "head_dim": 64},
    "fp8": _quantised(quant_method="fp8", weight_block_size=[128, 128]),
    "gptq": _quantised(quant_method="gptq", bits=8, group_size=128),
    "gptq-int4": _quantised(quant_method="gptq", bits=4, group_size=128),
    "awq": _quantised(quant_method="awq", bits=4, group_size=128),
    "int8": _quantised(**compressed("int", 8, inputs=True)),
    "modelslim": {"model_type": "qwen3", "head_dim": 128},
    "seeing": {"model_type": "qwen3_5", "text_config": {"dtype": "bfloat16"}, "vision_config": {}},
    "own-code": {"model_type": "telechat", "auto_map": {"AutoModel": "modeling.Model"}, "architectures": ["Own"]},
}
"""What config.json has besides what is common, by kind."""


def write_model(folder: Path, kind: str, *, tokenizer: bool = True, **changed: Any) -> Path:
    """Leave a model's small files.

    Args:
        folder: to make.
        kind: one of `CONFIGS`.
        tokenizer: whether it has one.
        changed: further keys of config.json.
    """
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(COMMON | CONFIGS[kind] | changed))
    if tokenizer:
        (folder / "tokenizer.json").write_text("{}")
        (folder / "tokenizer_config.json").write_text(json.dumps(_TOKENS))
    if kind == "modelslim":
        described = {"model.layers.0.mlp.up_proj.weight": "W8A8_DYNAMIC", "model_quant_type": "W8A8_DYNAMIC"}
        (folder / "quant_model_description.json").write_text(json.dumps(described))
    return folder
