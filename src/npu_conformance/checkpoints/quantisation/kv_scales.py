"""Scales of a KV cache in FP8 that a checkpoint brings along; they belong to no weight.

vLLM uses them where the cache is served in FP8 and drops them otherwise; the reference has no such cache.
"""

import re

# The names that vLLM renames to its attention's own (weight_utils.py, maybe_remap_kv_scale_name).
_NAME = re.compile(
    r"(.+\.)?(([qkv]|kv|prob)_scale|[qkv]_zero_point|self_attn\.q\.scale|[kv]_cache\.scale|[qkv]_proj\.output_scale)"
)


def is_kv_scale(name: str) -> bool:
    """Whether a stored tensor of a quantised checkpoint is such a scale."""
    return _NAME.fullmatch(name) is not None
