"""Where a decoder's hidden states are, in models as vLLM and as transformers make them."""

from typing import Any

EMBEDDING, FINAL_NORM = "embedding", "final norm"
HOOK_ROWS = "NPU_CONFORMANCE_TAP"
"""Environment variable: hook the model as it is loaded, and keep so many tokens of a forward pass (see `hook`)."""


def find_decoder(model: Any) -> Any:
    """The module with `embed_tokens`, `layers` and `norm`; None where there is none."""
    wanted = ("embed_tokens", "layers", "norm")
    return next((part for part in model.modules() if all(hasattr(part, name) for name in wanted)), None)


def points_of(decoder: Any) -> list[tuple[str, Any]]:
    """Names of the points in the order they are passed, each with the module they are read at.

    A layer has the name that its weights have in the checkpoint of a plain decoder, which counts from 0; engines put
    different names before it where there are other towers.

    The embedding is what enters the first layer: whether a model's scale is applied inside `embed_tokens` or after it
    is the engine's own business, as is what a LoRA puts in its place. All other points are what leaves their module.
    """
    layers = [(f"model.layers.{index}", layer) for index, layer in enumerate(decoder.layers)]
    return [(EMBEDDING, decoder.layers[0]), *layers, (FINAL_NORM, decoder.norm)]


def entering(inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """The hidden states among what a layer is given: by their name, else the first that is not made of integers."""
    if "hidden_states" in named:
        return named["hidden_states"]
    for one in inputs:
        if one.is_floating_point():
            return one
    return None


def terms(point: str, output: Any) -> tuple[Any, Any]:
    """What a module at this point hands on: hidden states, and what to add to them or None."""
    if not isinstance(output, tuple):
        return output, None
    if point != FINAL_NORM and len(output) == 2 and output[1] is not None and output[0].shape == output[1].shape:
        # vLLM's layers hand on the residual stream as two terms; their sum is the layer's output.
        return output
    return output[0], None
