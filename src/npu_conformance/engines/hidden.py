"""Where a decoder's hidden states are, and how they are read off one that runs eagerly.

Hooks see what runs eagerly; a compiled or captured graph does not call them (for those, see `tap`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

EMBEDDING, FINAL_NORM = "embedding", "final norm"
TAP_ROWS = "NPU_CONFORMANCE_TAP"
"""Environment variable: tap the model as it is loaded, and keep so many tokens of a forward pass (see `tap`)."""


@contextmanager
def tapped(model: Any) -> Iterator[dict[str, Any] | None]:
    """Within it, every forward pass leaves its hidden states in the yielded dictionary.

    Args:
        model: a vLLM or transformers model.

    Yields:
        By point (`embedding`, `layer 1` …, `final norm`) the last output: a tensor whose last dimension is the
        hidden size and whose last but one counts tokens. None where the model has no decoder of the usual make.
    """
    decoder = find_decoder(model)
    if decoder is None:
        yield None
        return
    seen: dict[str, Any] = {}
    handles = [module.register_forward_hook(_keep(seen, point)) for point, module in points_of(decoder)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def find_decoder(model: Any) -> Any:
    """The module with `embed_tokens`, `layers` and `norm`; None where there is none."""
    wanted = ("embed_tokens", "layers", "norm")
    return next((part for part in model.modules() if all(hasattr(part, name) for name in wanted)), None)


def points_of(decoder: Any) -> list[tuple[str, Any]]:
    """Names of the points in the order they are passed, each with the module whose output is read there."""
    layers = [(f"layer {number}", layer) for number, layer in enumerate(decoder.layers, start=1)]
    return [(EMBEDDING, decoder.embed_tokens), *layers, (FINAL_NORM, decoder.norm)]


def terms(point: str, output: Any) -> tuple[Any, Any]:
    """What a module at this point hands on: hidden states, and what to add to them or None."""
    if not isinstance(output, tuple):
        return output, None
    if point != FINAL_NORM and len(output) == 2 and output[1] is not None and output[0].shape == output[1].shape:
        # vLLM's layers hand on the residual stream as two terms; their sum is the layer's output.
        return output
    return output[0], None


def _keep(seen: dict[str, Any], point: str) -> Any:
    def hook(_module: Any, _inputs: Any, output: Any) -> None:
        hidden, residual = terms(point, output)
        # Later layers may write into it.
        seen[point] = (hidden.clone() if residual is None else hidden + residual).detach()

    return hook
