"""What can be wrong with an engine: each kind of fault as a change of a running model, by a strength where it has one.

Linear layers' weights are packed when vLLM loads them, so these are never edited: forwards are wrapped, and only norms,
rotary tables, LoRA factors and decay rates are overwritten. Faults of linear weights are in `weights`.
"""

from collections.abc import Callable
from typing import Any

from npu_conformance.faults.live import Live, Row
from npu_conformance.faults.precision import in_bits

# Block of the KV cache and slot in it that a fault of one slot is in.
_SLOT = 5


def nothing(live: Live, _: float) -> None:
    """No fault: what is flagged here is a false alarm."""


# Positions.


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


# Attention.


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


# The KV cache.


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


# Norms, layers, activations.


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
    _change_layer(live, lambda hidden: hidden * strength)


def noise(live: Live, strength: float) -> None:
    """What one layer's MLP adds is off by so large a share of its size, another time otherwise."""
    import torch

    def noisy(hidden: Any) -> Any:
        size = strength * hidden.float().square().mean(dim=-1, keepdim=True).sqrt()
        return hidden + (torch.randn(hidden.shape) * size).to(hidden.dtype)

    _change_layer(live, noisy)


def clipping(live: Live, strength: float) -> None:
    """What one layer's MLP adds is clipped at so many times its root mean square."""

    def clipped(hidden: Any) -> Any:
        bound = strength * hidden.float().square().mean(dim=-1, keepdim=True).sqrt().to(hidden.dtype)
        return hidden.clamp(-bound, bound)

    _change_layer(live, clipped)


def activation(live: Live, _: float) -> None:
    """One layer's MLP has GELU for SiLU."""
    from torch.nn.functional import gelu

    def forward(_original: Callable[..., Any], gate_up: Any, *_rest: Any) -> Any:
        half = gate_up.shape[-1] // 2
        return gelu(gate_up[..., :half]) * gate_up[..., half:]

    live.around(live.layers[live.middle].mlp.act_fn, "forward", forward)


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


# What the model is given.


def first_token(live: Live, _: float) -> None:
    """The first token of every prompt is read as another, as where a tokenizer adds a BOS of its own."""

    def wrong(tokens: Any) -> Any:
        for row in live.rows():
            if row.computed == 0:
                tokens[row.tokens.start] = 0
        return tokens

    _change_tokens(live, wrong)


def tokens_exchanged(live: Live, strength: float) -> None:
    """One in so many tokens of the vocabulary is read as the next one, as with another version's tokenizer."""
    _change_tokens(live, lambda tokens: tokens.where(tokens % int(strength) != 1, tokens + 1))


# Some requests or steps alone.


def decode_only(live: Live, strength: float) -> None:
    """What one layer's MLP adds is multiplied once the prompt is over."""
    _change_rows(live, strength, lambda row: row.decodes)


def first_step_only(live: Live, strength: float) -> None:
    """What one layer's MLP adds is multiplied in the first step after the prompt."""
    _change_rows(live, strength, lambda row: row.computed == row.prompt)


def prefill_only(live: Live, strength: float) -> None:
    """What the last layer's MLP adds is multiplied while prompts are read."""
    _change_rows(live, strength, lambda row: not row.decodes, layer=-1)


def one_step(live: Live, strength: float) -> None:
    """What the last layer's MLP adds is multiplied at the seventh token of every answer."""
    _change_rows(live, strength, lambda row: row.computed == row.prompt + 5, layer=-1)


def later_steps(live: Live, strength: float) -> None:
    """What the last layer's MLP adds is multiplied from the tenth token of every answer on."""
    _change_rows(live, strength, lambda row: row.computed >= row.prompt + 8, layer=-1)


def rows_mixed(live: Live, strength: float) -> None:
    """Of what one layer's MLP adds to the batch's second row, so large a share is the first row's."""

    def mixed(hidden: Any) -> Any:
        rows = [row.tokens.stop - 1 for row in live.rows() if row.decodes]
        if len(rows) < 2:
            return hidden
        changed = hidden.clone()
        changed[rows[1]] = (1 - strength) * hidden[rows[1]] + strength * hidden[rows[0]]
        return changed

    _change_layer(live, mixed)


# The head.


def head_bits(live: Live, strength: float) -> None:
    """What the head reads is kept in so many bits."""
    live.around(
        live.model, "compute_logits", lambda original, hidden, *rest: original(in_bits(hidden, strength), *rest)
    )


def head_shard(live: Live, strength: float) -> None:
    """The last quarter of the vocabulary has logits that are multiplied."""

    def wrong(logits: Any) -> Any:
        logits[..., 3 * logits.shape[-1] // 4 :] *= strength
        return logits

    _change_logits(live, wrong)


def head_word(live: Live, strength: float) -> None:
    """One word's logit is larger by so many times the root mean square of all."""
    _change_logits(live, lambda logits: _raise_word(logits, strength))


def one_logit(live: Live, strength: float) -> None:
    """One word's logit is larger by so many times the root mean square of all, at the seventh token of answers."""

    def wrong(original: Callable[..., Any], hidden: Any, *rest: Any) -> Any:
        logits, rows = original(hidden, *rest), live.rows()
        for row, at in enumerate(rows if len(rows) == len(logits) else ()):
            if at.computed == at.prompt + 5:
                _raise_word(logits[row], strength)
        return logits

    live.around(live.model, "compute_logits", wrong)


def close_calls(live: Live, strength: float) -> None:
    """The two largest logits are exchanged where they are within so many times the root mean square of all."""

    def wrong(logits: Any) -> Any:
        top = logits.topk(2, dim=-1)
        near = (top.values[:, 0] - top.values[:, 1]).float() <= strength * _size(logits)
        logits[near] = logits[near].scatter(-1, top.indices[near], top.values[near].flip(-1))
        return logits

    _change_logits(live, wrong)


def logits_scaled(live: Live, strength: float) -> None:
    """All logits are multiplied."""
    _change_logits(live, lambda logits: logits * strength)


def logits_softcap(live: Live, strength: float) -> None:
    """Logits are capped softly at this, which the model does not ask for."""
    _change_logits(live, lambda logits: (logits / strength).tanh() * strength)


# Parts that only some models have.


def lora_scale(live: Live, strength: float) -> None:
    """The LoRA's contribution is multiplied."""
    for module in live.model.modules():
        for factor in getattr(module, "lora_b_stacked", ()):
            live.write(factor, factor * strength)


def state_decay(live: Live, strength: float) -> None:
    """The recurrent state of linear attention decays so many times as fast."""
    for name, parameter in live.model.named_parameters():
        if name.endswith("A_log"):
            live.write(parameter, parameter + _logarithm(strength))


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


def _change_layer(live: Live, change: Callable[[Any], Any], layer: int | None = None) -> None:
    """Let `change` have what a layer's MLP adds to the residual stream [tokens, hidden]."""

    def forward(original: Callable[..., Any], *args: Any, **named: Any) -> Any:
        hidden, residual = original(*args, **named)
        return change(hidden), residual

    live.around(live.layers[live.middle if layer is None else layer], "forward", forward)


def _change_rows(live: Live, strength: float, wrong: Callable[[Row], bool], layer: int | None = None) -> None:
    def change(hidden: Any) -> Any:
        changed = hidden.clone()
        for row in live.rows():
            if wrong(row):
                changed[row.tokens] *= strength
        return changed

    _change_layer(live, change, layer)


def _change_tokens(live: Live, change: Callable[[Any], Any]) -> None:
    """Let `change` have a copy of the ids [tokens] that are embedded."""
    live.around(live.decoder.embed_tokens, "forward", lambda original, tokens: original(change(tokens.clone())))


def _change_logits(live: Live, change: Callable[[Any], Any]) -> None:
    live.around(live.model, "compute_logits", lambda original, *args: change(original(*args)))


def _raise_word(logits: Any, strength: float) -> Any:
    logits[..., logits.shape[-1] // 3] += (strength * _size(logits)).to(logits.dtype)
    return logits


def _size(logits: Any) -> Any:
    """Root mean square of each row."""
    return logits.float().square().mean(dim=-1).sqrt()


def _rolled(states: Any, heads: int) -> Any:
    """States [tokens, heads * size] with each head's in the next one's place."""
    return states.view(len(states), heads, -1).roll(1, dims=1).reshape(states.shape)


def _logarithm(value: float) -> float:
    import math

    return math.log(value)
