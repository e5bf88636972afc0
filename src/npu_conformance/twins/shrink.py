"""A model's config.json made small: the same class and the same kinds of layers, with other sizes.

No two sizes that a weight has are equal where the model's own differ, so that none can stand in another's place.
"""

from collections.abc import Callable, Mapping
from typing import Any

LAYERS = 4
"""As few as have every kind of layer, but no fewer."""
_MOST_LAYERS = 12
_HIDDEN, _INTERMEDIATE, _HEADS = 256, 768, 4
EXPERTS, _PER_TOKEN, _OF_EXPERT, _SHARED = 12, 3, 192, 320
# Positions that a layer with a sliding window sees: fewer than most prompts of the suite have.
_WINDOW = 64
_POSITIONS = 32768
# Written by whoever saved the model, and not about its network; a quantised twin's are written again.
_LEFT_OUT = (
    "_name_or_path",
    "architectures",
    "auto_map",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "quantization_config",
    "torch_dtype",
    "dtype",
    "transformers_version",
)
Config = dict[str, Any]


def shrunk(config: Mapping[str, Any]) -> Config:
    """The config of a small model of the same class, without what depends on a tokenizer.

    Args:
        config: content of config.json, of a model that reads text alone.
    """
    small = {key: value for key, value in config.items() if key not in _LEFT_OUT}
    layers = _layers(config)
    own = config.get("num_hidden_layers")
    for key, value in small.items():
        if isinstance(value, list) and len(value) == own:
            small[key] = value[:layers]
    for key, rule in _RULES.items():
        if key in small and small[key] is not None:
            small[key] = rule(small[key], config)
    return small | {"num_hidden_layers": layers, "initializer_range": _HIDDEN**-0.5, "use_cache": False}


def _layers(config: Mapping[str, Any]) -> int:
    """The fewest that have every kind of layer."""
    kinds = config.get("layer_types")
    if isinstance(kinds, list) and kinds:
        enough = (count for count in range(LAYERS, len(kinds)) if set(kinds[:count]) == set(kinds))
        return next(enough, len(kinds))
    every = max(int(config.get(key) or 0) for key in ("full_attention_interval", "sliding_window_pattern"))
    return min(max(LAYERS, every), _MOST_LAYERS)


def _heads(_: Any, config: Mapping[str, Any]) -> int:
    """As many as of queries, one, or between them: as the model shares them."""
    queries, own = int(config["num_attention_heads"]), int(config["num_key_value_heads"])
    return _HEADS if own == queries else 1 if own == 1 else _HEADS // 2


def _intermediate(_: Any, config: Mapping[str, Any]) -> int:
    """Of a dense layer, or of an expert where that has no key of its own (Mixtral, gpt-oss)."""
    told = any("moe_intermediate" in key for key in config)
    return _INTERMEDIATE if told or not any(config.get(key) for key in _COUNTS) else _OF_EXPERT


def _at_most(most: int) -> Callable[[Any, Mapping[str, Any]], int]:
    return lambda value, _: min(int(value), most)


def _exactly(size: int) -> Callable[[Any, Mapping[str, Any]], int]:
    return lambda _value, _config: size


def _below_layers(value: Any, config: Mapping[str, Any]) -> list[int]:
    return [one for one in value if one < _layers(config)]


_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts")
"""Of experts, by the names of most models."""
_RULES: Mapping[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "hidden_size": _exactly(_HIDDEN),
    "intermediate_size": _intermediate,
    "num_attention_heads": _exactly(_HEADS),
    "num_key_value_heads": _heads,
    "max_position_embeddings": _at_most(_POSITIONS),
    "sliding_window": _at_most(_WINDOW),
    "max_window_layers": lambda value, config: min(int(value), _layers(config) // 2),
    # Experts. Groups of experts must divide them, and those that are chosen must hold enough.
    **dict.fromkeys(_COUNTS, _exactly(EXPERTS)),
    "num_experts_per_tok": _at_most(_PER_TOKEN),
    "experts_per_token": _at_most(_PER_TOKEN),
    "n_group": _at_most(2),
    "topk_group": _at_most(1),
    "moe_intermediate_size": _exactly(_OF_EXPERT),
    "shared_expert_intermediate_size": _exactly(_SHARED),
    "first_k_dense_replace": _at_most(1),
    "mlp_only_layers": _below_layers,
    "num_nextn_predict_layers": _exactly(0),
    "num_mtp_layers": _exactly(0),
    "mtp_num_hidden_layers": _exactly(0),
    # Latent attention: kernels know its own ranks and heads only; the queries' rank is free.
    "q_lora_rank": _exactly(96),
    # Linear attention.
    "linear_num_key_heads": _exactly(2),
    "linear_num_value_heads": _exactly(4),
    "linear_key_head_dim": _exactly(64),
    "linear_value_head_dim": _exactly(64),
}
