"""Faults of whole layers and of what is in them: norms, activations, embeddings, a rank's heads, a LoRA, a state."""

import math
from collections.abc import Callable
from typing import Any

from npu_conformance.selftest.live import Live


def norm_lost(live: Live, _: float) -> None:
    """One layer's input is not normalised."""

    def forward(_original: Callable[..., Any], states: Any, residual: Any = None) -> Any:
        return states if residual is None else (states + residual, states + residual)

    live.around(live.layers[live.middle].input_layernorm, "forward", forward)


def norms_exchanged(live: Live, _: float) -> None:
    """One layer's two norms have each other's weights."""
    layer = live.layers[live.middle]
    first, second = (norm.weight.detach().clone() for norm in (layer.input_layernorm, layer.post_attention_layernorm))
    live.write(layer.input_layernorm.weight, second)
    live.write(layer.post_attention_layernorm.weight, first)


def norm_epsilon(live: Live, strength: float) -> None:
    """All norms have another epsilon."""
    for module in live.decoder.modules():
        if hasattr(module, "variance_epsilon"):
            live.put(module, "variance_epsilon", strength)


def layer_skipped(live: Live, _: float) -> None:
    """One layer hands on what it is given."""

    def forward(original: Callable[..., Any], *args: Any, **named: Any) -> Any:
        original(*args, **named)  # its cache is written all the same
        given = dict(zip(("positions", "hidden_states", "residual"), args, strict=False)) | named
        return given["hidden_states"], given["residual"]

    live.around(live.layers[live.middle], "forward", forward)


def layers_exchanged(live: Live, _: float) -> None:
    """Two layers have exchanged their places."""
    live.exchange(live.decoder.layers, live.middle - 1, live.middle)


def layer_scaled(live: Live, strength: float) -> None:
    """What one layer's MLP adds is multiplied."""
    change_layer(live, lambda hidden: hidden * strength)


def noise(live: Live, strength: float) -> None:
    """What one layer's MLP adds is off by so large a share of its size, another time otherwise."""
    import torch

    def noisy(hidden: Any) -> Any:
        size = strength * hidden.float().square().mean(dim=-1, keepdim=True).sqrt()
        return hidden + (torch.randn(hidden.shape) * size).to(hidden.dtype)

    change_layer(live, noisy)


def clipping(live: Live, strength: float) -> None:
    """What one layer's MLP adds is clipped at so many times its root mean square."""

    def clipped(hidden: Any) -> Any:
        bound = strength * hidden.float().square().mean(dim=-1, keepdim=True).sqrt().to(hidden.dtype)
        return hidden.clamp(-bound, bound)

    change_layer(live, clipped)


def activation(live: Live, _: float) -> None:
    """One layer's MLP has GELU for SiLU."""
    from torch.nn.functional import gelu

    def forward(_original: Callable[..., Any], gate_up: Any, *_rest: Any) -> Any:
        half = gate_up.shape[-1] // 2
        return gelu(gate_up[..., :half]) * gate_up[..., half:]

    mlp = live.layers[live.middle].mlp
    # Of routed experts it is a part of their kernel.
    live.around(getattr(mlp, "shared_expert", mlp).act_fn, "forward", forward)


def embedding_scale(live: Live, strength: float) -> None:
    """Embeddings are multiplied."""
    live.around(live.decoder.embed_tokens, "forward", lambda original, *args: original(*args) * strength)


def shard_scaled(live: Live, strength: float) -> None:
    """Half of the heads of one layer are multiplied, as by a rank that is wrong."""

    def forward(original: Callable[..., Any], given: Any, *rest: Any) -> Any:
        changed = given.clone()
        changed[..., given.shape[-1] // 2 :] *= strength
        return original(changed, *rest)

    attention = live.attention[len(live.attention) // 2]
    live.around(attention.o_proj, "forward", forward)


def lora_scale(live: Live, strength: float) -> None:
    """The LoRA's contribution is multiplied."""
    for module in live.model.modules():
        for factor in getattr(module, "lora_b_stacked", ()):
            live.write(factor, factor * strength)


def state_decay(live: Live, strength: float) -> None:
    """The recurrent state of linear attention decays so many times as fast."""
    for name, parameter in live.model.named_parameters():
        if name.endswith("A_log"):
            live.write(parameter, parameter + math.log(strength))


def change_layer(live: Live, change: Callable[[Any], Any], layer: int | None = None) -> None:
    """Let `change` have what a layer's MLP adds to the residual stream [tokens, hidden]."""

    def forward(original: Callable[..., Any], *args: Any, **named: Any) -> Any:
        hidden, residual = original(*args, **named)
        return change(hidden), residual

    live.around(live.layers[live.middle if layer is None else layer], "forward", forward)
