"""A config made small keeps the kinds of layers, and what is shared with what."""

import pytest

from npu_conformance.twins.shrink import shrunk
from tests.unit.helpers.model_files import COMMON, CONFIGS


@pytest.mark.parametrize("kind", sorted(set(CONFIGS) - {"seeing", "own-code"}))
def test_it_is_small_and_of_its_class(kind: str) -> None:
    """Nothing of a tokenizer or of a quantisation is left, which are made anew."""
    own = COMMON | CONFIGS[kind]
    small = shrunk(own)

    assert small["model_type"] == own["model_type"]
    assert small["hidden_size"] == 256
    assert 4 <= small["num_hidden_layers"] <= 8
    assert not {"quantization_config", "torch_dtype", "eos_token_id"} & set(small)
    for key in ("tie_word_embeddings", "rope_theta", "rms_norm_eps", "head_dim", "kv_lora_rank", "qk_rope_head_dim"):
        assert small.get(key) == own.get(key), key
    assert (small["num_key_value_heads"] == small["num_attention_heads"]) is (own["num_key_value_heads"] == 32)


def test_every_kind_of_layer_is_there() -> None:
    """However late the first of a kind comes; lists of a value a layer are as long as there are layers."""
    for kind in ("linear", "sliding"):
        own = COMMON | CONFIGS[kind]
        small = shrunk(own)
        assert set(small["layer_types"]) == set(own["layer_types"])
        assert len(small["layer_types"]) == small["num_hidden_layers"]
    assert shrunk(COMMON | CONFIGS["dense"] | {"sliding_window_pattern": 6})["num_hidden_layers"] == 6


def test_experts_can_be_chosen() -> None:
    """More than are chosen; groups divide them, and the chosen groups hold enough."""
    for kind in ("mixture", "latent", "linear"):
        small = shrunk(COMMON | CONFIGS[kind])
        experts = small.get("num_experts") or small["n_routed_experts"]
        assert experts > small["num_experts_per_tok"]
        groups = small.get("n_group", 1)
        assert experts % groups == 0
        assert small["num_experts_per_tok"] <= small.get("topk_group", 1) * experts // groups
    assert shrunk(COMMON | CONFIGS["latent"])["num_nextn_predict_layers"] == 0


def test_an_expert_is_small_whichever_key_has_its_size() -> None:
    """Mixtral and gpt-oss have no key of its own; DeepSeek's dense layers have another size than its experts."""
    assert shrunk(COMMON | CONFIGS["sinks"])["intermediate_size"] == 192
    assert shrunk(COMMON | CONFIGS["latent"])["intermediate_size"] == 768
    assert shrunk(COMMON | CONFIGS["dense"])["intermediate_size"] == 768


def test_a_window_is_shorter_than_prompts() -> None:
    """Else nothing would lie outside it; a model without one gets none."""
    assert shrunk(COMMON | CONFIGS["sliding"])["sliding_window"] == 64
    assert "sliding_window" not in shrunk(COMMON | CONFIGS["dense"])
    assert shrunk(COMMON | {"model_type": "x", "sliding_window": None})["sliding_window"] is None
