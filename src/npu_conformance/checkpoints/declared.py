"""What a checkpoint's small files say that engines must have read: a second reading of them, by lines of our own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from npu_conformance.checkpoints.headers import find_json
from npu_conformance.checkpoints.rope import UnknownRopeError, declared_ropes

FREQUENCIES, SCALE, KIND = "rotary frequencies", "rotary scale", "rope type"
EPSILON, HEAD_SIZE, HEADS, KV_HEADS = "norm epsilon", "head size", "attention heads", "KV heads"
WINDOW, SOFT_CAP, FINAL_SOFT_CAP = "sliding window", "attention soft-cap", "final soft-cap"
VOCABULARY, TIED, ENDS = "vocabulary", "tied embeddings", "end-of-text ids"
_EPSILONS = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "norm_epsilon")
# Their config classes use the window in every layer where config.json does not name kinds of layers.
_WINDOWED = ("mistral", "mixtral", "phi3", "starcoder2")

Value = float | bool | str | tuple[float, ...] | None


class Declared(BaseModel):
    """A fact about the model that a file gives."""

    model_config = ConfigDict(frozen=True)

    values: tuple[Value, ...]
    """All that occur in the model, and no other may."""
    source: str
    """File, key and value, for messages."""


class Declarations(BaseModel):
    """All of a checkpoint folder."""

    model_config = ConfigDict(frozen=True)

    facts: dict[str, Declared] = {}
    unknown: dict[str, str] = {}
    """Facts the files do not give, or in words that are not recognised: why."""


def declarations(folder: Path, config: dict[str, Any]) -> Declarations:
    """What config.json, generation_config.json and the tokenizer's files give.

    Args:
        folder: of the checkpoint.
        config: its config.json.
    """
    nested = config.get("text_config")
    text = nested if isinstance(nested, dict) else config
    facts: dict[str, Declared] = {}
    unknown: dict[str, str] = {}
    for name, find in _FACTS.items():
        found = find(text)
        if found is not None and "kv_lora_rank" in text and name in (HEAD_SIZE, HEADS, KV_HEADS):
            found = None  # attention over latents has heads of several sizes
        if found is None:
            unknown[name] = "config.json does not say"
        else:
            facts[name] = Declared(values=found[0], source=f"config.json: {found[1]}")
    try:
        facts |= dict(_rotary(text))
    except UnknownRopeError as error:
        unknown[FREQUENCIES] = f"config.json: {error}: not recognised"
    for name, found_or_why in ((TIED, _tied(config, text)), (ENDS, _ends(folder, config, text))):
        if isinstance(found_or_why, Declared):
            facts[name] = found_or_why
        else:
            unknown[name] = found_or_why
    return Declarations(facts=facts, unknown=unknown)


_Found = tuple[tuple[Value, ...], str] | None


def _key(*names: str) -> Callable[[dict[str, Any]], _Found]:
    """The first of these keys that has a number."""

    def find(text: dict[str, Any]) -> _Found:
        name = next((name for name in names if isinstance(text.get(name), int | float)), None)
        return None if name is None else ((text[name],), f"{name} {text[name]:g}")

    return find


def _soft_cap(name: str) -> Callable[[dict[str, Any]], _Found]:
    return lambda text: ((text[name],), f"{name} {text[name]}") if name in text else None


def _head_size(text: dict[str, Any]) -> _Found:
    if (found := _key("head_dim")(text)) is not None:
        return None if "global_head_dim" in text else found
    width, heads = text.get("hidden_size"), text.get("num_attention_heads")
    if not width or not heads:
        return None
    return (width // heads,), f"hidden_size {width}, num_attention_heads {heads}"


def _window(text: dict[str, Any]) -> _Found:
    window, told = text.get("sliding_window"), f"sliding_window {text.get('sliding_window')}"
    if "sliding_window" not in text:
        return None
    if window is None or text.get("use_sliding_window") is False:
        return (None,), told if window is None else "use_sliding_window false"
    if window >= (text.get("max_position_embeddings") or window + 1):
        return None  # no request is as long
    if isinstance(kinds := text.get("layer_types"), list):
        found = dict.fromkeys(window if "sliding" in kind or "chunked" in kind else None for kind in kinds)
        return tuple(found), f"{told}, by layer_types"
    return ((window,), told) if text.get("model_type") in _WINDOWED else None


_FACTS: dict[str, Callable[[dict[str, Any]], _Found]] = {
    EPSILON: _key(*_EPSILONS),
    HEAD_SIZE: _head_size,
    HEADS: _key("num_attention_heads"),
    KV_HEADS: _key("num_key_value_heads", "num_attention_heads"),
    WINDOW: _window,
    SOFT_CAP: _soft_cap("attn_logit_softcapping"),
    FINAL_SOFT_CAP: _soft_cap("final_logit_softcapping"),
    VOCABULARY: _key("vocab_size"),
}


def _rotary(text: dict[str, Any]) -> Iterator[tuple[str, Declared]]:
    ropes = declared_ropes(text)
    source = "config.json: " + "; ".join(dict.fromkeys(rope.about for rope in ropes))
    yield FREQUENCIES, Declared(values=tuple(tuple(rope.frequencies.tolist()) for rope in ropes), source=source)
    yield KIND, Declared(values=tuple(dict.fromkeys(rope.kind for rope in ropes)), source=source)
    scales = [rope.scale for rope in ropes]
    if None not in scales:
        yield SCALE, Declared(values=tuple(dict.fromkeys(scales)), source=source)


def _tied(config: dict[str, Any], text: dict[str, Any]) -> Declared | str:
    found = {part["tie_word_embeddings"] for part in (config, text) if "tie_word_embeddings" in part}
    if len(found) != 1:
        return "config.json does not say" if not found else "config.json and its text_config disagree: not recognised"
    (tied,) = found
    return Declared(values=(bool(tied),), source=f"config.json: tie_word_embeddings {str(bool(tied)).lower()}")


def _ends(folder: Path, config: dict[str, Any], text: dict[str, Any]) -> Declared | str:
    """Tokens at which engines stop: generation_config.json's, or without it config.json's, and the tokenizer's own."""
    generation = find_json(folder / "generation_config.json")
    given = generation if generation is not None else {**text, **config}
    file = "config.json" if generation is None else "generation_config.json"
    listed = given.get("eos_token_id")
    ids: set[int] = set(listed if isinstance(listed, list) else [listed]) - {None}
    source = f"{file}: eos_token_id {listed}"
    own = _tokenizers_end(folder)
    if own is None:
        return "the tokenizer's own cannot be told from tokenizer_config.json and tokenizer.json"
    token, number = own
    if number is not None:
        source += f"; tokenizer_config.json: eos_token {token!r} ({number})"
        ids.add(number)
    return Declared(values=(tuple(sorted(ids)),), source=source)


def _tokenizers_end(folder: Path) -> tuple[str | None, int | None] | None:
    """The tokenizer's end-of-text and its id; None where its files do not tell."""
    settings, words = find_json(folder / "tokenizer_config.json"), find_json(folder / "tokenizer.json")
    if settings is None or words is None:
        return None
    token = settings.get("eos_token") or (find_json(folder / "special_tokens_map.json") or {}).get("eos_token")
    token = token.get("content") if isinstance(token, dict) else token
    if token is None:
        return None, None
    added = {one["content"]: one["id"] for one in words.get("added_tokens") or []}
    vocabulary = (words.get("model") or {}).get("vocab")
    number = added.get(token, vocabulary.get(token) if isinstance(vocabulary, dict) else None)
    return None if number is None else (token, number)
