"""Whether all layers are there and have what the others of their kind have, and the head with its tie."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding, some
from npu_conformance.checkpoints.stack import Stack, find_stack
from npu_conformance.checkpoints.tensor import Tensor

# Parts of a quantised weight; some layers may be quantised and others not.
_WEIGHT_PARTS = re.compile(
    r"\.(qweight|qzeros|scales|g_idx|weight_\w+|input_scale|input_offset|quant_bias|deq_scale|scale_bias)$"
)
# What all layers of a kind have. Other tensors may be in some of them by design.
_COMMON = re.compile(
    r"linear_attn\..+|(self_attn|mlp(\.experts\.\d+)?)\.\w+\.(weight|bias)|\w+_layernorm\.(weight|bias)"
)
# Keys of configs whose layers differ in more than their kind.
_IRREGULAR = ("block_configs", "num_kv_shared_layers", "use_cla")


def layer_findings(checkpoint: Checkpoint) -> list[Finding]:
    """Layers and tensors that are missing, and a missing or needless head."""
    stack = find_stack(checkpoint)
    if stack is None:
        return []
    findings = _missing_layers(stack, checkpoint.text_config) + _head(checkpoint, stack)
    if regular(checkpoint.text_config):
        findings += _missing_tensors(checkpoint, stack)
    return findings


def _missing_layers(stack: Stack, config: dict[str, Any]) -> list[Finding]:
    if not stack.layers:
        return []
    count = max(stack.layers) + 1
    # Never counted through: the last layer's number is whatever a name says.
    if missing := list(islice((index for index in range(count) if index not in stack.layers), 3)):
        more = f" (and {left} more)" if (left := count - len(stack.layers) - len(missing)) else ""
        message = (
            f"no tensors of layer {', '.join(map(str, missing))}{more}, the last is layer {count - 1}: download the "
            "model again"
        )
        return [Finding("error", f"{stack.root}layers", message)]
    kinds = config.get("layer_types")
    if isinstance(kinds, list) and len(kinds) != count == config.get("num_hidden_layers"):
        message = f"layer_types lists {len(kinds)} layers, the weights have {count}: take it from the original model"
        return [Finding("error", "config.json", message)]
    return []


def _missing_tensors(checkpoint: Checkpoint, stack: Stack) -> list[Finding]:
    names = {index: set(_common(layer, checkpoint)) for index, layer in stack.layers.items()}
    kinds: dict[Any, list[int]] = {}
    for index, kind in layer_kinds(stack.layers, checkpoint.text_config).items():
        kinds.setdefault(kind, []).append(index)
    findings = []
    for layers in kinds.values():
        counts = Counter(name for index in layers for name in names[index])
        expected = {name for name, count in counts.items() if 2 * count >= len(layers)}
        for index in layers:
            # A layer with tensors of its own besides is of another kind, which the config does not name.
            if names[index] < expected:
                missing = sorted(expected - names[index])
                message = (
                    f"has no {some(missing, 3)}, as most of the {len(layers)} layers of its kind have: "
                    "download the model again, or convert it again"
                )
                findings.append(Finding("error", f"{stack.root}layers.{index}", message))
    return findings


def _common(layer: dict[str, Tensor], checkpoint: Checkpoint) -> Iterator[str]:
    for stored in layer:
        name = _WEIGHT_PARTS.sub(".weight", stored)
        # Converters give quantised layers a bias of zeros that plain ones lack.
        if _COMMON.fullmatch(name) and not (checkpoint.quantisation and name.endswith(".bias")):
            yield name


def regular(config: dict[str, Any]) -> bool:
    """Whether a model's layers differ in no more than their kinds."""
    return not any(config.get(key) for key in _IRREGULAR)


def layer_kinds(layers: dict[int, dict[str, Tensor]], config: dict[str, Any]) -> dict[int, Any]:
    """A kind for each layer: as config.json's lists of layers name it, else by its modules; and if it has experts.

    Args:
        layers: tensors by index of the layer and name inside it.
        config: the language model's part of config.json.
    """
    experts = {index: any(".experts." in name for name in layer) for index, layer in layers.items()}
    if named := _named(config, len(layers)):
        return {index: (*(str(kinds[index]) for kinds in named), experts[index]) for index in layers}
    modules = {
        index: frozenset(name.split(".")[0] for name in layer if name.count(".") > 1) for index, layer in layers.items()
    }
    return {index: (_fullest(own, set(modules.values())), experts[index]) for index, own in modules.items()}


def _named(config: dict[str, Any], layers: int) -> list[list[Any]]:
    """Lists with a word or a small number for each layer, whatever key a family has for them."""
    lists = [value for value in config.values() if isinstance(value, list)]
    return [
        value
        for value in lists
        if layers <= len(value) == config.get("num_hidden_layers", layers)
        and all(isinstance(kind, str | int) for kind in value)
    ]


def _fullest(own: frozenset[str], others: set[frozenset[str]]) -> frozenset[str]:
    """The kind a layer belongs to that lacks a whole module: the only one that has all of its modules and more."""
    fuller = [other for other in others if own < other]
    return fuller[0] if len(fuller) == 1 else own


def _head(checkpoint: Checkpoint, stack: Stack) -> list[Finding]:
    tied = {
        part["tie_word_embeddings"]
        for part in (checkpoint.config, checkpoint.text_config)
        if isinstance(part.get("tie_word_embeddings"), bool)
    }
    heads = sorted(name for name in checkpoint.tensors if re.search(r"(^|\.)lm_head\.(weight|qweight)$", name))
    if tied == {True} and heads:
        message = (
            f"stored although tie_word_embeddings is true: vLLM uses {stack.root}embed_tokens.weight instead, "
            "transformers 5 does so only where both are the same"
        )
        return [Finding("note", heads[0], message)]
    if tied == {False} and not heads and _generates(checkpoint.config):
        message = "missing, and tie_word_embeddings is false: set it to true if the model has no head of its own"
        return [Finding("error", "lm_head.weight", message)]
    return []


def _generates(config: dict[str, Any]) -> bool:
    names = config.get("architectures") or []
    return any(name.endswith(("ForCausalLM", "ForConditionalGeneration")) for name in names)
