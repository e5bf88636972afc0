"""LongRoPE: warned of exactly where vLLM and transformers choose different factors."""

from typing import Any

import pytest

from npu_conformance.checkpoints.longrope import longrope_warning

ROPE = {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [2.0], "original_max_position_embeddings": 4096}


@pytest.mark.parametrize(
    ("config", "max_model_len", "served"),
    [
        ({"rope_scaling": ROPE, "max_position_embeddings": 32768}, 8192, 8192),
        ({"rope_parameters": ROPE, "max_position_embeddings": 32768}, 4097, 4097),
        ({"rope_scaling": ROPE, "max_position_embeddings": 32768}, None, 32768),
        ({"rope_scaling": {**ROPE, "rope_type": "su"}, "max_position_embeddings": 32768}, 8192, 8192),
        ({"rope_parameters": {"rope_theta": 1e4}, "rope_scaling": ROPE, "max_position_embeddings": 32768}, 8192, 8192),
    ],
)
def test_served_longer_than_trained(config: dict[str, Any], max_model_len: int | None, served: int) -> None:
    """Short prompts then get the long factors from vLLM; its default length is the model's maximum."""
    finding = longrope_warning(config, max_model_len)

    assert finding is not None
    assert finding.level == "warning"
    assert f"original_max_position_embeddings 4096, served with max_model_len {served}" in finding.message


@pytest.mark.parametrize(
    ("config", "max_model_len"),
    [
        ({"rope_scaling": ROPE, "max_position_embeddings": 32768}, 4096),
        ({"rope_scaling": {**ROPE, "long_factor": [1.0]}, "max_position_embeddings": 32768}, 8192),
        ({"rope_scaling": {**ROPE, "rope_type": "yarn"}, "max_position_embeddings": 32768}, 8192),
        # Beside the rope's keys it is also what vLLM takes max_model_len from.
        ({"rope_scaling": ROPE, "max_position_embeddings": 32768, "original_max_position_embeddings": 4096}, None),
        ({"rope_parameters": {"full_attention": ROPE}, "max_position_embeddings": 32768}, 8192),
        ({"rope_scaling": None}, 8192),
        ({"rope_scaling": "longrope"}, 8192),
        ({}, None),
    ],
)
def test_nothing_to_warn_of(config: dict[str, Any], max_model_len: int | None) -> None:
    """Short enough, the same factors, or another rope."""
    assert longrope_warning(config, max_model_len) is None


def test_transformers_chooses_by_the_sequence() -> None:
    """What the message says of the reference: the short factors up to the boundary, the long ones beyond it."""
    import torch
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = LlamaConfig(
        hidden_size=16,
        num_attention_heads=1,
        head_dim=16,
        max_position_embeddings=32,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0] * 8,
            "long_factor": [4.0] * 8,
            "original_max_position_embeddings": 8,
        },
    )
    embedding = LlamaRotaryEmbedding(config)

    frequencies = []
    for length in (8, 9):
        embedding(torch.zeros(1, length, 16), torch.arange(length)[None])
        frequencies.append(float(embedding.inv_freq[0]))

    assert frequencies == [1.0, 0.25]
