"""Faults of a mixture of experts: its router, its routed experts, the expert that every token passes."""

from collections.abc import Callable
from math import ceil
from typing import Any

from npu_conformance.selftest.live import Live
from npu_conformance.selftest.precision import in_bits

Route = Callable[[Any, Any], tuple[Any, Any]]
"""From the weights and ids of each token's experts [tokens, experts a token] to what takes their place."""


def experts_exchanged(live: Live, _: float) -> None:
    """Two experts of one layer have each other's places."""

    def exchanged(weights: Any, ids: Any) -> tuple[Any, Any]:
        return weights, ids.where(ids > 1, 1 - ids)

    _change_route(_middle(live), live, exchanged)


def expert_scale(live: Live, strength: float) -> None:
    """What one expert of one layer gives is multiplied, as where its scale is another's."""

    def scaled(weights: Any, ids: Any) -> tuple[Any, Any]:
        return weights.where(ids != 0, weights * strength), ids

    _change_route(_middle(live), live, scaled)


def expert_left_out(live: Live, _: float) -> None:
    """Each token has one expert less than the model says."""

    def fewer(weights: Any, ids: Any) -> tuple[Any, Any]:
        return weights.masked_fill(weights == weights.amin(dim=-1, keepdim=True), 0), ids

    for mixture in _mixtures(live):
        _change_route(mixture, live, fewer)


def expert_capacity(live: Live, strength: float) -> None:
    """An expert takes so many times its equal share of a step's tokens; those beyond get nothing from it."""
    for mixture in _mixtures(live):
        _change_route(mixture, live, _within(mixture.router.global_num_experts, strength))


def expert_weights_normalised(live: Live, _: float) -> None:
    """Weights of a token's experts are normalised where the model does not ask for it, or not where it does."""
    for mixture in _mixtures(live):
        live.put(mixture.router, "renormalize", not mixture.router.renormalize)


def router_bits(live: Live, strength: float) -> None:
    """What routers choose by is kept in so many bits."""

    def rounded(original: Callable[..., Any], *args: Any, **named: Any) -> Any:
        logits, *rest = original(*args, **named)
        return in_bits(logits, strength), *rest

    for layer in _layers(live):
        live.around(layer.mlp.gate, "forward", rounded)


def shared_expert_lost(live: Live, _: float) -> None:
    """The expert that every token passes gives nothing, in one layer."""
    layers = _layers(live)
    shared = layers[len(layers) // 2].mlp.shared_expert
    live.around(shared, "forward", lambda original, *args: original(*args) * 0)


def _layers(live: Live) -> list[Any]:
    """Layers with experts, in their order."""
    return [layer for layer in live.layers if hasattr(layer.mlp, "experts")]


def _mixtures(live: Live) -> list[Any]:
    """What routes and computes the experts of each layer that has some."""
    return [layer.mlp.experts for layer in _layers(live)]


def _middle(live: Live) -> Any:
    mixtures = _mixtures(live)
    return mixtures[len(mixtures) // 2]


def _change_route(mixture: Any, live: Live, change: Route) -> None:
    def select(original: Callable[..., Any], *args: Any, **named: Any) -> tuple[Any, Any]:
        weights, ids = original(*args, **named)
        weights, ids = change(weights, ids)
        return weights.contiguous(), ids.contiguous()

    live.around(mixture.router, "select_experts", select)


def _within(experts: int, share: float) -> Route:
    """Experts' tokens within their capacity, first come, first served."""
    from torch.nn.functional import one_hot

    def dropped(weights: Any, ids: Any) -> tuple[Any, Any]:
        capacity = ceil(share * ids.numel() / experts)
        chosen = one_hot(ids.flatten().long(), experts)
        place = (chosen.cumsum(dim=0) * chosen).sum(dim=-1).view(ids.shape)
        return weights.masked_fill(place > capacity, 0), ids

    return dropped
