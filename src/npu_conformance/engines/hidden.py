"""Reads hidden states off a decoder as it runs, by the same hooks in vLLM and in transformers.

Hooks see what runs eagerly; a compiled or captured graph does not call them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

EMBEDDING, FINAL_NORM = "embedding", "final norm"


@contextmanager
def tapped(model: Any) -> Iterator[dict[str, Any] | None]:
    """Within it, every forward pass leaves its hidden states in the yielded dictionary.

    Args:
        model: a vLLM or transformers model.

    Yields:
        By point (`embedding`, `layer 1` …, `final norm`) the last output: a tensor whose last dimension is the
        hidden size and whose last but one counts tokens. None where the model has no decoder of the usual make.
    """
    decoder = _find_decoder(model)
    if decoder is None:
        yield None
        return
    seen: dict[str, Any] = {}
    points = [(EMBEDDING, decoder.embed_tokens)]
    points += [(f"layer {number}", layer) for number, layer in enumerate(decoder.layers, start=1)]
    points.append((FINAL_NORM, decoder.norm))
    handles = [module.register_forward_hook(_keep(seen, point)) for point, module in points]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _find_decoder(model: Any) -> Any:
    wanted = ("embed_tokens", "layers", "norm")
    return next((part for part in model.modules() if all(hasattr(part, name) for name in wanted)), None)


def _keep(seen: dict[str, Any], point: str) -> Any:
    def hook(_module: Any, _inputs: Any, output: Any) -> None:
        if not isinstance(output, tuple):
            seen[point] = output.detach().clone()  # later layers may write into it
        elif point != FINAL_NORM and len(output) == 2 and output[1] is not None and output[0].shape == output[1].shape:
            # vLLM's layers hand on the residual stream as two terms; their sum is the layer's output.
            seen[point] = (output[0] + output[1]).detach()
        else:
            seen[point] = output[0].detach().clone()

    return hook
