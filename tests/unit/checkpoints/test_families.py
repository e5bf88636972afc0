"""Published families, rebuilt small and saved by transformers: nothing is found wrong with any."""

from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.inspect import examine

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


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_wrong_with_a_published_family(tmp_path: Path, family: str) -> None:
    """Whatever it calls its tensors, and whether its layers are alike or not."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    plain = CONFIG_MAPPING[family]()
    config = type(plain)(**{key: value for key, value in SMALL.items() if hasattr(plain, key)})
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": {"vocab": {}}}')

    found = [str(finding) for finding in examine(tmp_path).findings if finding.level != "note"]

    assert found == []
