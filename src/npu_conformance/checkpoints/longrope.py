"""LongRoPE: where an engine and the reference rotate by different factors, though neither is wrong."""

from typing import Any

from npu_conformance.checkpoints.checkpoint import Finding
from npu_conformance.checkpoints.rope import plain_settings


def longrope_warning(config: dict[str, Any], max_model_len: int | None) -> Finding | None:
    """A warning where vLLM and transformers choose different factors for the same prompt, else None.

    vLLM chooses when it loads: the long factors for every sequence if max_model_len is above
    original_max_position_embeddings, else the short ones. transformers chooses for each forward pass: the long
    factors if the sequence is longer than that, else the short ones.

    Args:
        config: the language model's part of config.json.
        max_model_len: as served; None for vLLM's default.
    """
    rope = plain_settings(config)
    if rope.get("rope_type") != "longrope":
        return None
    if rope.get("short_factor") == rope.get("long_factor"):
        return None
    longest = config.get("max_position_embeddings")
    # Beside the rope's own keys it is vLLM's default for max_model_len too.
    beside = config.get("original_max_position_embeddings")
    original = rope.get("original_max_position_embeddings") or longest
    served = max_model_len or beside or longest
    if not original or not served or served <= original:
        return None
    return Finding(
        "warning",
        "config.json",
        f"LongRoPE with original_max_position_embeddings {original}, served with max_model_len {served}: vLLM then "
        f"uses the long factors for every sequence, the reference the short ones for sequences of up to {original} "
        f"tokens, so their logits differ by design; set serve.max_model_len to {original} or less",
    )
