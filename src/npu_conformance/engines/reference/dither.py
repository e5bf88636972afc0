"""Another floor run of a model's rounding: noise below its dtype's precision, after which all roundings differ."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Odd constants that scatter bits over 32 of them, as Knuth's multiplicative hashing does.
_BITS, _COLUMNS, _SEEDS, _MASK = 2654435761, 2246822519, 3266489917, 0xFFFFFFFF


@contextmanager
def dithered(model: Any, seed: int | None) -> Iterator[None]:
    """Within it, embeddings are off here and there by a unit in the last place.

    Nothing more: noise before every layer would be an error of its own, beside the rounding that is to be measured.

    Args:
        model: of transformers.
        seed: of the noise; None for none.
    """
    if seed is None:
        yield
        return
    hook = model.get_input_embeddings().register_forward_hook(lambda _module, _inputs, states: noisy(states, seed))
    try:
        yield
    finally:
        hook.remove()


def noisy(states: Any, seed: int) -> Any:
    """States that are off here and there by a unit in the last place of their dtype."""
    import torch

    # Made of the values themselves: the same whatever else is in the batch.
    bits = states.float().view(torch.int32).long()
    column = torch.arange(states.shape[-1])
    mixed = ((bits ^ (seed * _SEEDS + column * _COLUMNS)) * _BITS) & _MASK
    noise = ((mixed ^ (mixed >> 15)) * _COLUMNS & _MASK).double() / _MASK * 2 - 1
    return (states * (1 + noise * torch.finfo(states.dtype).eps / 2)).to(states.dtype)
