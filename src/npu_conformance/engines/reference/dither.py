"""Another floor run of a model's rounding: noise below its dtype's precision, after which all roundings differ."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from npu_conformance.engines.hidden import find_decoder

# Odd constants that scatter bits over 32 of them, as Knuth's multiplicative hashing does.
_BITS, _COLUMNS, _SEEDS, _MASK = 2654435761, 2246822519, 3266489917, 0xFFFFFFFF


@contextmanager
def dithered(model: Any, seed: int | None) -> Iterator[None]:
    """Within it, hidden states that enter a decoder layer are off here and there by a unit in the last place.

    Of a model whose layers are not found, it is its embeddings that are.

    Args:
        model: of transformers.
        seed: of the noise; None for none.
    """
    import torch

    if seed is None:
        yield
        return
    decoder = find_decoder(model)

    def noisy(states: Any) -> Any:
        # Made of the values themselves: the same whatever else is in the batch.
        bits = states.float().view(torch.int32).long()
        column = torch.arange(states.shape[-1])
        mixed = ((bits ^ (seed * _SEEDS + column * _COLUMNS)) * _BITS) & _MASK
        noise = ((mixed ^ (mixed >> 15)) * _COLUMNS & _MASK).double() / _MASK * 2 - 1
        return (states * (1 + noise * torch.finfo(states.dtype).eps / 2)).to(states.dtype)

    def hook(_layer: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if inputs:
            return (noisy(inputs[0]), *inputs[1:]), named
        return inputs, named | {"hidden_states": noisy(named["hidden_states"])}

    with ExitStack() as hooks:
        if decoder is None:
            embeddings = model.get_input_embeddings()
            hooks.callback(embeddings.register_forward_hook(lambda _module, _inputs, states: noisy(states)).remove)
        else:
            for layer in decoder.layers:
                hooks.callback(layer.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield
