"""What is known of scales by their names and sizes."""

import re

LARGEST_SCALE = 8
"""Of a weight. Weights are below 100 or so, and codes reach 7, 127 or 448; reciprocals of scales are above this."""

# The names that vLLM renames to its attention's own (weight_utils.py, maybe_remap_kv_scale_name).
_NAME = re.compile(
    r"(.+\.)?(([qkv]|kv|prob)_scale|[qkv]_zero_point|self_attn\.q\.scale|[kv]_cache\.scale|[qkv]_proj\.output_scale)"
)


def is_kv_scale(name: str) -> bool:
    """Whether a stored tensor of a quantised checkpoint is a scale of an FP8 KV cache, and so of no weight.

    vLLM uses them where the cache is served in FP8 and drops them otherwise; the reference has no such cache.
    """
    return _NAME.fullmatch(name) is not None
