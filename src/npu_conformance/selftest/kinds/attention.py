"""Faults of positions, of attention and of its KV cache."""

from collections.abc import Callable
from typing import Any

from npu_conformance.selftest.live import Live
from npu_conformance.selftest.precision import in_bits

# Of the KV cache's blocks, the slot that a fault of one slot is in.
_SLOT = 5


def rotary_theta(live: Live, strength: float) -> None:
    """The base of the rotary frequencies is multiplied."""
    for rope in _ropes(live):
        live.put(rope, "base", rope.base * strength)
        table, values = _rotations(rope)
        live.write(table, values.to(table))


def query_positions(live: Live, strength: float) -> None:
    """Queries are rotated by so many positions more than keys."""

    def forward(original: Callable[..., Any], positions: Any, query: Any, key: Any, *rest: Any) -> Any:
        keys = original(positions, query.clone(), key.clone(), *rest)[1]
        return original(positions + int(strength), query, key, *rest)[0], keys

    for rope in _ropes(live):
        live.around(rope, "forward", forward)


def attention_scale(live: Live, strength: float) -> None:
    """Attention scores are multiplied."""
    for attention in live.attention:
        live.put(attention.attn.impl, "scale", attention.attn.impl.scale * strength)


def attention_softcap(live: Live, strength: float) -> None:
    """Attention scores are capped softly, which the model does not ask for."""
    for attention in live.attention:
        live.put(attention.attn.impl, "logits_soft_cap", strength)


def attention_window(live: Live, strength: float) -> None:
    """Tokens further back than this are not attended to."""
    for attention in live.attention:
        live.put(attention.attn.impl, "sliding_window", int(strength))


def heads_mapped_wrongly(live: Live, _: float) -> None:
    """Query heads of one layer attend to the next group's keys and values."""

    def forward(original: Callable[..., Any], query: Any, key: Any, value: Any, *rest: Any, **named: Any) -> Any:
        return original(query, _rolled(key, heads), _rolled(value, heads), *rest, **named)

    attention = live.attention[len(live.attention) // 2].attn
    heads = attention.num_kv_heads
    live.around(attention, "forward", forward)


def head_lost(live: Live, _: float) -> None:
    """One head of one layer gives nothing."""

    def forward(original: Callable[..., Any], *args: Any, **named: Any) -> Any:
        output = original(*args, **named).clone()
        output.view(len(output), heads, -1)[:, 0] = 0
        return output

    attention = live.attention[len(live.attention) // 2].attn
    heads = attention.num_heads
    live.around(attention, "forward", forward)


def head_scaled(live: Live, strength: float) -> None:
    """What one head of one layer gives is multiplied."""

    def forward(original: Callable[..., Any], *args: Any, **named: Any) -> Any:
        output = original(*args, **named).clone()
        output.view(len(output), heads, -1)[:, 0] *= strength
        return output

    attention = live.attention[len(live.attention) // 2].attn
    heads = attention.num_heads
    live.around(attention, "forward", forward)


def layer_value_bits(live: Live, strength: float) -> None:
    """One layer's values are kept in so many bits, a scale a token and head."""
    _cached_as(live, lambda key, value: (key, in_bits(value, strength)))


def layer_key_bits(live: Live, strength: float) -> None:
    """One layer's keys are kept in so many bits, a scale a token and head."""
    _cached_as(live, lambda key, value: (in_bits(key, strength), value))


def _cached_as(live: Live, changed: Callable[[Any, Any], tuple[Any, Any]]) -> None:
    """Let `changed` have the keys and values that the middle attention layer caches."""

    def update(original: Callable[..., Any], layer: Any, key: Any, value: Any, *rest: Any) -> Any:
        return original(layer, *changed(key, value), *rest)

    live.around(live.attention[len(live.attention) // 2].attn.impl, "do_kv_cache_update", update)


def cache_bits(live: Live, strength: float) -> None:
    """Keys and values are kept in so many bits, a scale a token and head."""

    def update(original: Callable[..., Any], layer: Any, key: Any, value: Any, *rest: Any) -> Any:
        return original(layer, in_bits(key, strength), in_bits(value, strength), *rest)

    for attention in live.attention:
        live.around(attention.attn.impl, "do_kv_cache_update", update)


def cache_slot_lost(live: Live, _: float) -> None:
    """One slot of every block is written as zeros."""

    def update(original: Callable[..., Any], layer: Any, key: Any, value: Any, cache: Any, slots: Any) -> Any:
        kept = (slots % cache.shape[2] != _SLOT)[: len(key)].view(-1, 1, 1)
        return original(layer, key * kept, value * kept, cache, slots)

    for attention in live.attention:
        live.around(attention.attn.impl, "do_kv_cache_update", update)


def cache_stale(live: Live, _: float) -> None:
    """Every fourth token that is decoded is written with the keys and values of the step before."""
    for attention in live.attention:
        live.around(attention.attn.impl, "do_kv_cache_update", _late(live))


def _late(live: Live) -> Callable[..., Any]:
    before: list[Any] = []

    def update(original: Callable[..., Any], layer: Any, key: Any, value: Any, cache: Any, slots: Any) -> Any:
        now = (key.clone(), value.clone())
        same = bool(before) and before[0].shape == key.shape
        if same and all(row.decodes for row in live.rows()):
            late = (slots % 4 == 0)[: len(key)].view(-1, 1, 1)
            key, value = before[0].where(late, key), before[1].where(late, value)
        before[:] = now
        return original(layer, key, value, cache, slots)

    return update


def _ropes(live: Live) -> list[Any]:
    """Rotary embeddings, which layers share."""
    return list({id(one.rotary_emb): one.rotary_emb for one in live.attention}.values())


def _rotations(rope: Any) -> tuple[Any, Any]:
    """A rotary embedding's table, and what it would be now."""
    if not hasattr(rope, "short_factor"):
        return rope.cos_sin_cache, rope._compute_cos_sin_cache()
    import torch

    # LongRoPE has one for short texts and one for long ones, one after the other.
    short = rope._compute_cos_sin_cache(rope.original_max_position_embeddings, rope.short_factor, rope.short_mscale)
    long = rope._compute_cos_sin_cache(rope.max_position_embeddings, rope.long_factor, rope.long_mscale)
    return rope.long_short_cos_sin_cache, torch.cat([short, long])


def _rolled(states: Any, heads: int) -> Any:
    """States [tokens, heads * size] with each head's in the next one's place."""
    return states.view(len(states), heads, -1).roll(1, dims=1).reshape(states.shape)
