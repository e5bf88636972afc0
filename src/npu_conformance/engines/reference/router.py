"""How near the routers of a mixture of experts are to choosing another expert, as transformers computes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.checkpoints.headers import read_json


def experts_a_token(checkpoint: Path) -> int | None:
    """How many experts a token has; None for a dense model, and for one whose routers transformers does not tell.

    Raises:
        CheckpointError: config.json cannot be read.
    """
    path = checkpoint / "config.json"
    config = read_json(path, "how experts are chosen") if path.is_file() else {}
    nested = config.get("text_config")
    text = nested if isinstance(nested, dict) else config
    # Models that have this key hand out their routers' logits where it is true.
    chosen = text.get("num_experts_per_tok") if "output_router_logits" in text else None
    return chosen if isinstance(chosen, int) and chosen > 0 else None


@contextmanager
def routed(model: Any, chosen: int | None) -> Iterator[list[NDArray[np.float32]]]:
    """Within it, each forward pass leaves margins, float32 [sequences, tokens, layers], in the list.

    A margin is the logit of the last expert that is chosen over that of the first that is not.

    Args:
        model: of transformers.
        chosen: experts a token; None where nothing is to be left.
    """
    found: list[NDArray[np.float32]] = []
    if chosen is None:
        yield found
        return
    config = model.config.get_text_config()
    before = config.output_router_logits

    def seen(_module: Any, _args: Any, named: dict[str, Any], output: Any) -> None:
        layers = [_margins(one, chosen) for one in getattr(output, "router_logits", None) or ()]
        if layers:
            found.append(np.stack(layers, axis=-1).reshape(*named["input_ids"].shape, len(layers)))

    config.output_router_logits = True
    hook = model.register_forward_hook(seen, with_kwargs=True)
    try:
        yield found
    finally:
        hook.remove()
        config.output_router_logits = before


def _margins(logits: Any, chosen: int) -> NDArray[np.float32]:
    """Of router logits [tokens, experts]; infinite where all experts are chosen."""
    if logits.shape[-1] <= chosen:
        return np.full(len(logits), np.inf, dtype=np.float32)
    top = logits.float().topk(chosen + 1, dim=-1).values
    margins: NDArray[np.float32] = (top[:, chosen - 1] - top[:, chosen]).numpy()
    return margins
