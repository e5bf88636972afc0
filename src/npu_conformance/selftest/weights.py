"""What can be wrong with an engine's weights: each kind as a change of a checkpoint's tensors while vLLM loads them.

Linear layers pack their weights once they are loaded, so this is when they can be changed.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from npu_conformance.selftest.precision import in_bits, in_fp8

# Linear attention has `in_proj_qkv` and the like.
_LINEAR = re.compile(r"proj(_\w+)?\.weight$")
Alter = Callable[[Any, float], Any]
"""From a linear layer's weight [out, in] and a strength to what is loaded in its place."""


def weight_bits(weight: Any, strength: float) -> Any:
    """Linear weights are kept in so many bits, a scale an output channel."""
    return in_bits(weight, strength)


def weight_fp8(weight: Any, _: float) -> Any:
    """Linear weights are kept in float8_e4m3fn, a scale an output channel."""
    return in_fp8(weight)


def layer_weight_bits(weight: Any, strength: float) -> Any:
    """Linear weights of one layer are kept in so many bits, a scale an output channel."""
    return in_bits(weight, strength)


def layer_weight_fp8(weight: Any, _: float) -> Any:
    """Linear weights of one layer are kept in float8_e4m3fn, a scale an output channel."""
    return in_fp8(weight)


@contextmanager
def loading(alter: Alter, strength: float, *, one_layer: bool) -> Iterator[None]:
    """Within it vLLM loads checkpoints whose linear layers are altered: all, or those of the middle layer."""
    from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

    original = DefaultModelLoader.get_all_weights

    def altered(loader: Any, config: Any, model: Any) -> Iterator[tuple[str, Any]]:
        layer = f".layers.{config.hf_text_config.num_hidden_layers // 2}." if one_layer else ".layers."
        for name, tensor in original(loader, config, model):
            linear = tensor.ndim == 2 and _LINEAR.search(name) is not None and layer in f".{name}"
            yield name, alter(tensor, strength) if linear else tensor

    DefaultModelLoader.get_all_weights = altered
    try:
        yield
    finally:
        DefaultModelLoader.get_all_weights = original
