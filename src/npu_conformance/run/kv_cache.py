"""The KV cache that an engine on a CPU is given: what the run's requests need, by the model's config.json.

Left alone, vLLM's CPU backend takes half of a NUMA node's memory (0.18, platforms/cpu.py:124) or 92 % of it (0.23 to
0.32, v1/worker/cpu_worker.py), and an engine that follows finds none left. All of them take whole GiB a rank from one
environment variable; none but the variable works in all (0.18 ignores kv_cache_memory_bytes).
"""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from npu_conformance.checkpoints.rope import plain_settings
from npu_conformance.config.variants import warms_cache
from npu_conformance.engines.vllm.boundary import LONGEST_TEXT, boundary, long_texts
from npu_conformance.engines.vllm.scenarios import COPIES
from npu_conformance.machine.capacity import GIB

SPACE = "VLLM_CPU_KVCACHE_SPACE"
WIDTHS = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number."""
Length = tuple[int, int]
"""Tokens of a prompt and of its longest answer."""

# Where config.json does not say what a cache is made of: vLLM's own size until it began to count shares.
_UNKNOWN = 4 * GIB
# vLLM's own: a block of the CPU backend, and the requests that LLM runs side by side.
_BLOCK, _SIDE_BY_SIDE = 128, 256
# Kinds of rotary scaling that leave the longest request as config.json has it (vllm/config/model.py).
_NOT_LONGER = ("default", "longrope", "llama3")


def said_otherwise(options: Mapping[str, Any], envs: Mapping[str, str]) -> bool:
    """Whether somebody else says how large the KV cache is to be.

    `gpu_memory_utilization` does not: it is a share of an accelerator, and of the host's memory the first engine would
    leave too little to the second.

    Args:
        options: engine options.
        envs: environment variables of the config.
    """
    return options.get("kv_cache_memory_bytes") is not None or _told(envs) is not None


def given_bytes(
    config: Mapping[str, Any],
    options: Mapping[str, Any],
    lengths: Sequence[Length],
    envs: Mapping[str, str],
) -> float | None:
    """Bytes of KV cache that a rank of an engine on a CPU has; None where vLLM takes a share of the machine.

    Args:
        config: config.json of the language model.
        options: engine options.
        lengths: of the run's requests.
        envs: environment variables of the config.
    """
    if not said_otherwise(options, envs):
        return float(space(config, options, lengths) * GIB)
    told, given = _told(envs), options.get("kv_cache_memory_bytes")
    if told is not None and re.fullmatch("[0-9]{1,9}", told):
        return float(told) * GIB
    return None if given is None else float(given)


def space(config: Mapping[str, Any], options: Mapping[str, Any], lengths: Sequence[Length]) -> int:
    """Whole GiB of KV cache for a rank: all that is asked for at once, and what vLLM wants to start at all.

    Args:
        config: config.json of the language model.
        options: engine options; those that hold the batch or the longest request count.
        lengths: of the run's requests.
    """
    return max(1, -(-needed_bytes(config, options, lengths) // GIB))


def needed_bytes(config: Mapping[str, Any], options: Mapping[str, Any], lengths: Sequence[Length]) -> int:
    """The same in bytes, before it is rounded up."""
    layout = _layout(config, options)
    if layout is None:
        return _UNKNOWN
    if (blocks := options.get("num_gpu_blocks_override")) is not None:
        return layout.bytes(int(blocks))
    # vLLM refuses to start where one request of the greatest length does not fit.
    longest = int(options.get("max_model_len") or own_longest(config) or LONGEST_TEXT)
    kept = warms_cache(dict(options))
    asked = sorted((layout.blocks(tokens, kept) for tokens in _requests(lengths, layout.block, longest)), reverse=True)
    if not kept:
        asked = asked[: int(options.get("max_num_seqs") or _SIDE_BY_SIDE)]
    texts = long_texts([[0] * prompt for prompt, _ in lengths], longest) if lengths else {}
    long = [layout.blocks(len(text.prompt_ids) + text.length, kept) for text in texts.values()]
    copies = COPIES * max(asked, default=0)
    # One more is vLLM's own null block.
    return layout.bytes(max(sum(asked), sum(long), copies, layout.blocks(longest, kept)) + 1)


def bounded(
    config: Mapping[str, Any],
    options: Mapping[str, Any],
    base: Mapping[str, Any],
    lengths: Sequence[Length],
    *,
    long: bool,
) -> dict[str, int]:
    """The longest request for an engine whose YAML names none: what it is asked for, and no more.

    A KV cache for one request of a model's own maximum, which vLLM insists on, may be larger than its weights.

    Args:
        config: config.json of the language model.
        options: engine options.
        base: those of base, whose tokens it may be made to take, cut at the edges of base's blocks.
        lengths: of the run's requests.
        long: whether it uses the suite's own long texts.
    """
    layouts, own = [_layout(config, one) for one in (options, base)], own_longest(config)
    blocks = [layout.block for layout in layouts if layout is not None]
    if options.get("max_model_len") is not None or not lengths or not blocks:
        return {}
    asked = max(LONGEST_TEXT if long else 0, *_requests(lengths, max(blocks), own or LONGEST_TEXT)) + 1
    asked = _BLOCK * -(-asked // _BLOCK)
    return {"max_model_len": asked if own is None else min(own, asked)}


def own_longest(config: Mapping[str, Any]) -> int | None:
    """Tokens of the longest request that vLLM takes for the model's own; None where its config does not say."""
    found = config.get("max_position_embeddings")
    rope = plain_settings(config)
    if found is None or rope.get("rope_type", "default") in _NOT_LONGER:
        return None if found is None else int(found)
    original = rope.get("original_max_position_embeddings") or found
    return max(int(found), int(original * (rope.get("factor") or 1)))


def _told(envs: Mapping[str, str]) -> str | None:
    """The variable, of the config before the shell's."""
    return envs.get(SPACE) or os.environ.get(SPACE) or None


def _requests(lengths: Sequence[Length], block: int, longest: int) -> list[int]:
    """Tokens of each request: prompts with their answers, and what is cut at the edges of blocks."""
    cut = boundary([[0] * prompt for prompt, _ in lengths], block, longest) if lengths else {}
    return [
        *(min(longest, prompt + answer) for prompt, answer in lengths),
        *(len(one.prompt_ids) + one.length for one in cut.values()),
    ]


@dataclass(frozen=True)
class _Layout:
    """How vLLM lays a KV cache out: every kind of layer has its own groups of so many layers, all pages are alike."""

    block: int
    """Tokens of a block."""
    page: int
    """Bytes that a layer takes for a block, or for one state."""
    layers: int
    """In a group."""
    attending: int
    """Groups that keep keys and values of every token."""
    stateful: int
    """Groups that keep a state, as linear attention does."""

    def blocks(self, tokens: int, kept: bool) -> int:
        """Blocks of a request; `kept` where states are kept at the edges of blocks, for other requests to begin at."""
        blocks = -(-tokens // self.block)
        return self.attending * blocks + self.stateful * (blocks + 1 if kept else 1)

    def bytes(self, blocks: int) -> int:
        """Bytes of so many blocks."""
        return blocks * self.page * self.layers


def _layout(config: Mapping[str, Any], options: Mapping[str, Any]) -> _Layout | None:
    """As vLLM works it out of config.json, or a little more; None where that does not say it.

    A cache of fewer bits is counted in full: a CPU may not have it.
    """
    try:
        width, ranks = WIDTHS[options.get("dtype", "bfloat16")], int(options.get("tensor_parallel_size", 1))
        kinds = _kinds(config)
        token = _token_bytes(config, width, ranks)
        state = _state_bytes(config, width, ranks) if "linear_attention" in kinds else 0
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    own = int(options.get("block_size") or _BLOCK)
    # Attention's page is to hold a state (vllm/platforms/interface.py, _align_hybrid_block_size).
    block = max(own, _BLOCK * -(-state // (_BLOCK * token)))
    layers = min(kinds.values())
    groups = {kind: -(-count // layers) for kind, count in kinds.items()}
    stateful = groups.pop("linear_attention", 0)
    return _Layout(block, max(block * token, state), layers, sum(groups.values()), stateful)


def _kinds(config: Mapping[str, Any]) -> Counter[str]:
    """Layers by kind."""
    layers = int(config["num_hidden_layers"])
    if listed := config.get("layer_types"):
        return Counter(listed[:layers])
    full = layers // int(config["full_attention_interval"]) if config.get("full_attention_interval") else layers
    return Counter({kind: count for kind, count in (("full", full), ("linear_attention", layers - full)) if count})


def _token_bytes(config: Mapping[str, Any], width: int, ranks: int) -> int:
    """Bytes of a token's keys and values in one layer of one rank."""
    if config.get("kv_lora_rank"):  # one vector for all heads, on every rank
        return width * (int(config["kv_lora_rank"]) + int(config["qk_rope_head_dim"]))
    queries = int(config["num_attention_heads"])
    size = int(config.get("head_dim") or int(config["hidden_size"]) // queries)
    heads = int(config.get("num_key_value_heads") or queries)
    return 2 * width * size * max(1, heads // ranks)


def _state_bytes(config: Mapping[str, Any], width: int, ranks: int) -> int:
    """Bytes of a gated delta net's state in one layer of one rank: float32, and the inputs of its convolution."""
    keys, values = int(config["linear_num_key_heads"]), int(config["linear_num_value_heads"])
    key_size, value_size = int(config["linear_key_head_dim"]), int(config["linear_value_head_dim"])
    convolved = 2 * keys * key_size + values * value_size
    recurrent = 4 * values * key_size * value_size
    return (recurrent + width * (int(config["linear_conv_kernel_dim"]) - 1) * convolved) // ranks
