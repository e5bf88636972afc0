"""Shapes of a layer's weights against those of its like, and against the width of the model."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding, some
from npu_conformance.checkpoints.layers import layer_kinds, regular
from npu_conformance.checkpoints.stack import PLAIN, Stack, find_stack
from npu_conformance.checkpoints.tensor import Tensor

# Of layers that are alike; fewer of another shape are a mistake, more are a design.
_MOST = 0.75
_READ_HIDDEN = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")
_EXPERT = re.compile(r"(mlp\.experts\.[0-9]+\.(?:gate|up)_proj)\.q?weight")


def layer_shape_findings(checkpoint: Checkpoint) -> list[Finding]:
    """Weights of another shape than the model's others have; nothing where layers differ by design."""
    stack = find_stack(checkpoint)
    if stack is None or not regular(checkpoint.text_config):
        return []
    odd = list(_odd_ones(stack, checkpoint.text_config))
    return odd or [
        *_inputs(stack),
        *_embedding(checkpoint, stack),
        *_head(checkpoint, stack),
        *_queries(stack, checkpoint.text_config),
    ]


def _odd_ones(stack: Stack, config: dict[str, Any]) -> Iterator[Finding]:
    plain = list(_plain(stack, config))
    shapes: dict[Any, Counter[tuple[int, ...]]] = {}
    for key, _, tensor in plain:
        shapes.setdefault(key, Counter())[tensor.shape] += 1
    sizes = _sizes(config)
    usual = {
        key: counts.most_common(1)[0][0]
        for key, counts in shapes.items()
        # Only where the config says so too: a pruned model's layers may be of any size.
        if len(counts) > 1 and _most(counts) and sizes.issuperset(counts.most_common(1)[0][0])
    }
    odd = [
        (name, tensor.shape, usual[key]) for key, name, tensor in plain if tensor.shape != usual.get(key, tensor.shape)
    ]
    if odd:
        _, found, expected = odd[0]
        message = (
            f"is {list(found)}, in most layers and by config.json {list(expected)}: download the model again, or "
            "convert it again"
        )
        yield Finding("error", some([name for name, *_ in odd]), message)


def _most(counts: Counter[tuple[int, ...]]) -> bool:
    return max(counts.values()) >= _MOST * counts.total()


def _sizes(config: dict[str, Any]) -> set[int]:
    """What a dimension may be by the config: its numbers, and heads by their size."""
    numbers = {value for value in config.values() if isinstance(value, int)}
    heads = [config.get(key) for key in ("num_attention_heads", "num_key_value_heads")]
    size = config.get("head_dim")
    products = {count * size for count in heads if isinstance(count, int) and isinstance(size, int)}
    # An output gate doubles q_proj.
    return numbers | products | {2 * width for width in products}


def _plain(stack: Stack, config: dict[str, Any]) -> Iterator[tuple[Any, str, Tensor]]:
    """Weights that are stored as they are, each with what it has in common with its like."""
    kinds = layer_kinds(stack.layers, config)
    for index, layer in stack.layers.items():
        for name, tensor in layer.items():
            if tensor.dtype in PLAIN and name.endswith((".weight", ".bias")):
                yield (kinds[index], name), f"{stack.root}layers.{index}.{name}", tensor


def _inputs(stack: Stack) -> Iterator[Finding]:
    """What reads the hidden states is as wide as they are; drafts of speculative decoding read two at once."""
    width = stack.embedding.shape[1]
    if stack.in_all("input_layernorm.weight") != width:
        return
    if stack.norm is not None and stack.norm.shape[0] != width:
        message = f"is {list(stack.norm.shape)}, expected [{width}] as all layers' norms: download the model again"
        yield Finding("error", f"{stack.root}norm.weight", message)
    shapes = {module: stack.linear(module) for module in _readers(stack)}
    wrong = {module: shape for module, shape in shapes.items() if shape and shape[1] not in (width, 2 * width)}
    if wrong:
        names = [f"{stack.root}layers.*.{module}.weight" for module in wrong]
        message = (
            f"is {list(next(iter(wrong.values())))} in all layers, expected {width} inputs, as wide as the embedding "
            "and the norms: download the model again, or convert it again"
        )
        yield Finding("error", some(names), message)


def _embedding(checkpoint: Checkpoint, stack: Stack) -> Iterator[Finding]:
    """A row for each token, as wide as the norms unless something is there that widens it."""
    rows, width = stack.embedding.shape
    declared, norms = checkpoint.text_config.get("vocab_size"), stack.in_all("input_layernorm.weight")
    outer = [name for name, tensor in checkpoint.tensors.items() if len(tensor.shape) == 2 and ".layers." not in name]
    widened = any(not name.endswith(("embed_tokens.weight", "lm_head.weight")) for name in outer)
    head = checkpoint.tensors.get("lm_head.weight")
    # Without a head of that size, it is the config that is held to be wrong.
    if isinstance(declared, int) and rows < declared and head is not None and head.shape[:1] == (declared,):
        expected = f"{declared} rows, as vocab_size says"
    elif norms is not None and width != norms and not widened:
        expected = f"{norms} columns, as wide as the norms"
    else:
        return
    message = f"is {[rows, width]}, expected {expected}: download the model again, or convert it again"
    yield Finding("error", f"{stack.root}embed_tokens.weight", message)


def _head(checkpoint: Checkpoint, stack: Stack) -> Iterator[Finding]:
    """The head has a row a token, of which some models embed more than they answer with."""
    head, width = checkpoint.tensors.get("lm_head.weight"), stack.in_all("input_layernorm.weight")
    if (
        head is None
        or head.dtype not in PLAIN
        or len(head.shape) != 2
        or width is None
        or "draft_vocab_size" in checkpoint.text_config
    ):
        return
    rows = {stack.embedding.shape[0], checkpoint.text_config.get("vocab_size")}
    if head.shape[0] not in rows or head.shape[1] != width:
        message = (
            f"is {list(head.shape)}, expected [{stack.embedding.shape[0]}, {width}] by the embedding and the norms: "
            "download the model again, or convert it again"
        )
        yield Finding("error", "lm_head.weight", message)


def _readers(stack: Stack) -> list[str]:
    """Linear layers that read hidden states, routed experts' among them."""
    experts = {
        found[1]: None for layer in stack.layers.values() for name in layer if (found := _EXPERT.fullmatch(name))
    }
    return [*_READ_HIDDEN, *experts]


def _queries(stack: Stack, config: dict[str, Any]) -> Iterator[Finding]:
    """Where o_proj is as wide as config.json's heads, q_proj is too, or twice with a gate."""
    query, key, output = (stack.linear(f"self_attn.{name}_proj") for name in "qko")
    heads, size = config.get("num_attention_heads"), config.get("head_dim")
    if query is None or key is None or output is None or not (isinstance(heads, int) and isinstance(size, int)):
        return
    if output[1] == heads * size and query[0] not in (output[1], 2 * output[1]):
        message = (
            f"is {list(query)} in all layers, expected {output[1]} outputs ({heads} heads of {size}), as o_proj has "
            "inputs: download the model again, or convert it again"
        )
        yield Finding("error", f"{stack.root}layers.*.self_attn.q_proj.weight", message)
