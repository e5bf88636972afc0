"""config.json against the shapes of the weights: which of its values are wrong, and what they should be.

Only what shapes say unmistakably is said; of an architecture with other names nothing is.
"""

from typing import Any

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding
from npu_conformance.checkpoints.config_class import ConfigClass, config_class
from npu_conformance.checkpoints.config_values import spelled
from npu_conformance.checkpoints.rope import plain_settings
from npu_conformance.checkpoints.stack import Stack, agreed, find_stack

_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight")

SIZES = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size"),
    *("num_attention_heads", "num_key_value_heads", "head_dim"),
)
"""Keys of config.json that shapes may know better."""


def corrections(checkpoint: Checkpoint) -> dict[str, tuple[str, int]]:
    """The values of config.json that the weights' shapes contradict.

    Args:
        checkpoint: its config and the shapes of its tensors.

    Returns:
        By key of `checkpoint.text_config`: what is declared, in words, and the value that the shapes have.
    """
    declared = checkpoint.text_config
    config = {key: value for key, value in declared.items() if key not in SIZES or (type(value) is int and value > 0)}
    found = {"vocab_size": _vocabulary(checkpoint, config)}
    stack = find_stack(checkpoint)
    if stack is not None:
        found |= {
            "hidden_size": _hidden_size(stack),
            "num_hidden_layers": _layers(stack, config),
            **_heads(stack, config),
            "intermediate_size": _intermediate_size(stack),
        }
    sure = {key: value for key, value in found.items() if value is not None}
    unsaid = any(declared.get(key) is None for key in sure)
    by_class = config_class(declared) if unsaid else ConfigClass()
    return {
        key: (told, value)
        for key, value in sure.items()
        if (told := _contradicted(key, value, declared, config, by_class)) is not None
    }


def _contradicted(
    key: str, value: int, declared: dict[str, Any], config: dict[str, Any], by_class: ConfigClass
) -> str | None:
    """What is declared, in words, where libraries take another value or none; None where they take this one."""
    said = declared.get(key)
    if isinstance(said, list):
        return None  # a size a layer
    if key not in declared:
        default = by_class.defaults.get(key)
        taken = _of_null(key, config, by_class.defaults) if default is None else default
        unknown = not by_class.defaults or taken is None
        return None if unknown or taken == value else f"missing, for which transformers takes {taken}"
    if said is None and by_class.refuses(key, None) is None:
        taken = _of_null(key, config, by_class.defaults)
    else:
        taken = config.get(key)
    return None if taken == value else spelled(said)


def _of_null(key: str, config: dict[str, Any], defaults: dict[str, Any]) -> int | None:
    """What libraries take in place of null, which some of them refuse."""
    heads, width = (config.get(one, defaults.get(one)) for one in ("num_attention_heads", "hidden_size"))
    if key == "num_key_value_heads":
        return heads
    return width // heads if key == "head_dim" and heads and width else None


def shape_findings(checkpoint: Checkpoint) -> list[Finding]:
    """All values that the shapes contradict, in one message; and heads that fit no size."""
    findings = []
    if wrong := corrections(checkpoint):
        values = "; ".join(f"{key} is {told}, the weights say {found}" for key, (told, found) in wrong.items())
        findings.append(
            Finding(
                "error",
                "config.json",
                f"{values}: config and weights are not of the same model; if the weights are the right ones, "
                f"`npu-conformance doctor --fix-config {checkpoint.folder}` writes their values",
            )
        )
    stack = find_stack(checkpoint)
    if stack is not None and (problem := _unfitting_heads(stack, checkpoint.text_config, set(wrong))):
        findings.append(Finding("error", "config.json", problem))
    return findings


def _vocabulary(checkpoint: Checkpoint, config: dict[str, Any]) -> int | None:
    tensors = [(name, tensor) for name, tensor in checkpoint.tensors.items() if len(tensor.shape) == 2]
    if any(name.endswith("lm_head.weight") and tensor.shape[0] == config.get("vocab_size") for name, tensor in tensors):
        return None  # some models embed more tokens than they can answer with
    return agreed(tensor.shape[0] for name, tensor in tensors if name.endswith(_EMBEDDINGS))


def _hidden_size(stack: Stack) -> int | None:
    # Two comparisons, because some models embed in another width than they compute in.
    norm = stack.in_all("input_layernorm.weight") if stack.norm is None else stack.norm.shape[0]
    width = stack.embedding.shape[1]
    return width if width == norm else None


def _layers(stack: Stack, config: dict[str, Any]) -> int | None:
    count = len(stack.layers)
    # Layers for multi-token prediction are numbered behind the model's own, and may be left out.
    if list(stack.layers) != list(range(count)) or config.get("num_nextn_predict_layers"):
        return None
    return count or None


def _intermediate_size(stack: Stack) -> int | None:
    up, down = stack.linear("mlp.up_proj"), stack.linear("mlp.down_proj")
    return up[0] if up and down and up[0] == down[1] else None


def _widths(stack: Stack) -> tuple[int, int] | None:
    """Width of all heads of the queries together, and of the keys'."""
    query, key, output = (stack.linear(f"self_attn.{name}_proj") for name in "qko")
    # An output gate doubles q_proj. Anything else is attention of another kind.
    if not (query and key and output) or query[0] not in (output[1], 2 * output[1]):
        return None
    return output[1], key[0]


def _heads(stack: Stack, config: dict[str, Any]) -> dict[str, int | None]:
    widths = _widths(stack)
    size = None if widths is None else _head_size(stack, config, *widths)
    if widths is None or size is None:
        return {}
    return _head_counts(size, *widths)


def _head_counts(size: int, queries: int, keys: int) -> dict[str, int | None]:
    return {"num_attention_heads": queries // size, "num_key_value_heads": keys // size, "head_dim": size}


def _head_size(stack: Stack, config: dict[str, Any], queries: int, keys: int) -> int | None:
    """Size of a head: of its norm, of LongRoPE's factors, or the one that leaves the fewest values wrong."""
    for size in (stack.in_all("self_attn.q_norm.weight"), _rope_size(config)):
        if size and size < queries and _divides(size, queries, keys):
            return size
    declared = {
        key: config[key] for key in ("head_dim", "num_attention_heads", "num_key_value_heads") if config.get(key)
    }
    candidates = {
        "head_dim": declared.get("head_dim", 0),
        "num_attention_heads": queries // declared.get("num_attention_heads", queries + 1),
        "num_key_value_heads": keys // declared.get("num_key_value_heads", keys + 1),
    }
    wrong: dict[int, int] = {}
    for size in {candidates[key] for key in declared}:
        if size and _divides(size, queries, keys):
            counts = _head_counts(size, queries, keys)
            wrong[size] = sum(counts[key] != value for key, value in declared.items())
    best = [size for size, count in wrong.items() if count == min(wrong.values())]
    return best[0] if len(best) == 1 else None


def _rope_size(config: dict[str, Any]) -> int | None:
    rope = plain_settings(config)
    factors = rope.get("short_factor")
    if not isinstance(factors, list) or not factors or "partial_rotary_factor" in rope:
        return None
    return 2 * len(factors)


def _divides(size: int, *widths: int) -> bool:
    return all(width % size == 0 for width in widths)


def _unfitting_heads(stack: Stack, config: dict[str, Any], wrong: set[str]) -> str | None:
    """Queries and keys are multiplied, so their heads are of one size; a config that says otherwise is wrong."""
    widths = _widths(stack)
    heads, kv_heads = config.get("num_attention_heads"), config.get("num_key_value_heads")
    known = any(key in wrong for key in ("num_attention_heads", "num_key_value_heads", "head_dim"))
    if widths is None or known or not (isinstance(heads, int) and isinstance(kv_heads, int) and heads and kv_heads):
        return None
    if widths[0] * kv_heads == widths[1] * heads:
        return None
    return (
        f"num_attention_heads {heads} and num_key_value_heads {kv_heads} do not fit the weights, whose queries are "
        f"{widths[0]} wide and whose keys {widths[1]}: take both from the original model's config"
    )
