"""The language model's layers among a checkpoint's tensors, by the names decoder models have in common."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.tensor import Tensor

_EMBEDDING = "embed_tokens.weight"
# Stacks beside the language model's own: encoders, drafts of speculative decoding, the rows a layer adds.
_OTHERS = re.compile(r"(^|\.)(encoder|decoder|mtp|layers)\.")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
T = TypeVar("T")
PLAIN = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}
"""Dtypes of weights that are stored as one number an element."""


@dataclass(frozen=True)
class Stack:
    """The decoder layers of a language model."""

    root: str
    """What its tensors' names begin with, such as `model.` or `model.language_model.`."""
    embedding: Tensor
    """Of two dimensions."""
    norm: Tensor | None
    """The final norm's weight, of one dimension."""
    layers: dict[int, dict[str, Tensor]]
    """Tensors by index of the layer and name inside it, such as `self_attn.q_proj.weight`."""

    def in_all(self, name: str) -> int | None:
        """The one length of a 1-D tensor in all layers that have it; None where none has it or they differ."""
        return agreed(
            layer[name].shape[0] for layer in self.layers.values() if name in layer and len(layer[name].shape) == 1
        )

    def linear(self, module: str) -> tuple[int, int] | None:
        """The one logical shape (outputs, inputs) of a linear layer in all layers that have it, else None."""
        shapes = [linear_shape(layer, module) for layer in self.layers.values() if _has(layer, module)]
        return agreed(shapes)


def find_stack(checkpoint: Checkpoint) -> Stack | None:
    """The language model's stack; None where the names do not say unmistakably which it is."""
    roots = [
        name.removesuffix(_EMBEDDING)
        for name, tensor in checkpoint.tensors.items()
        if name.endswith(_EMBEDDING) and len(tensor.shape) == 2 and not _OTHERS.search(name)
    ]
    if len(roots) != 1:
        return None
    root = roots[0]
    layers = _layers(checkpoint.tensors, f"{root}layers.")
    norm = checkpoint.tensors.get(f"{root}norm.weight")
    flat = norm if norm is not None and len(norm.shape) == 1 else None
    return Stack(root, checkpoint.tensors[root + _EMBEDDING], flat, dict(sorted(layers.items())))


def _layers(tensors: Mapping[str, Tensor], stem: str) -> dict[int, dict[str, Tensor]]:
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(stem):
            number, _, rest = name[len(stem) :].partition(".")
            layers.setdefault(number, {})[rest] = tensor
    return {int(number): layer for number, layer in layers.items() if _NUMBER.fullmatch(number)}


def linear_shape(tensors: Mapping[str, Tensor], module: str) -> tuple[int, int] | None:
    """A linear layer's outputs and inputs, whichever way its weight is stored; None where that is unclear.

    Args:
        tensors: by name.
        module: name of the layer, without `.weight` or `.qweight`.
    """
    weight = tensors.get(f"{module}.weight")
    if weight is not None:
        return _of_weight(tensors, module, weight)
    codes, zeros = tensors.get(f"{module}.qweight"), tensors.get(f"{module}.qzeros")
    if codes is None or zeros is None or len(codes.shape) != 2 or len(zeros.shape) != 2 or 0 in zeros.shape:
        return None
    # GPTQ packs codes along the inputs and zero points along the outputs; the latter's width says how many bits.
    outputs = codes.shape[1]
    if outputs == zeros.shape[1]:
        return None  # AWQ packs both along the outputs
    return outputs, codes.shape[0] * outputs // zeros.shape[1]


def _of_weight(tensors: Mapping[str, Tensor], module: str, weight: Tensor) -> tuple[int, int] | None:
    if len(weight.shape) != 2:
        return None
    if weight.dtype in PLAIN:
        return weight.shape[0], weight.shape[1]
    # ModelSlim may pack two 4-bit codes into a byte along the outputs; its scales have a row an output.
    scale = tensors.get(f"{module}.weight_scale", tensors.get(f"{module}.deq_scale"))
    if weight.dtype == "I8" and scale is not None and scale.shape:
        return scale.shape[0], weight.shape[1]
    return None


def _has(layer: Mapping[str, Tensor], module: str) -> bool:
    return f"{module}.weight" in layer or f"{module}.qweight" in layer


def agreed(values: Iterable[T]) -> T | None:
    """The value all have in common; None where there are none or they differ."""
    different = set(values)
    return different.pop() if len(different) == 1 else None
