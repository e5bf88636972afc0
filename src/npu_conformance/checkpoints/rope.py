"""Rotary frequencies as config.json asks for them, by arithmetic of our own: what engines must have computed.

Radians a token by pair of channels, and what cosine and sine are multiplied by. From the papers and the formats'
descriptions; nothing of transformers or vLLM is asked. What is not recognised here is said, never guessed.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frequencies = NDArray[np.float64]
# Older spellings of a type; `mrope` rotates as the default does, by three positions.
_TYPES = {"su": "longrope", "mrope": "default"}
_THETA = ("rope_theta", "rotary_emb_base")
_LOCAL_THETA = ("rope_local_base_freq", "swa_rope_theta")
_PARTIAL = ("partial_rotary_factor", "rotary_pct", "rotary_emb_fraction")


# Models that rotate all kinds of layers by one scaled rotary embedding; others scale full attention's alone.
_ONE_FOR_ALL = ("gpt_oss",)


class UnknownRopeError(ValueError):
    """What config.json says of its rotary embedding is not recognised; the message says what."""


@dataclass(frozen=True)
class Rope:
    """A rotary embedding that config.json asks for."""

    kind: str
    """Its type, by transformers' name."""
    theta: float
    frequencies: Frequencies
    """Radians a token [pairs]."""
    scale: float | None
    """Of cosine and sine; None where libraries do not agree on what the config means."""
    about: str
    """The config's words."""


def declared_ropes(text: dict[str, Any]) -> list[Rope]:
    """The rotary embeddings of a model: one, LongRoPE's short and long one, or one a kind of layer.

    Args:
        text: the language model's part of config.json.

    Raises:
        UnknownRopeError: it is not recognised, or contradicts itself.
    """
    if text.get("mla_use_nope") or text.get("position_embedding_type") in ("nope", "none"):
        raise UnknownRopeError("it has no rotary embedding")
    found = [rope for parameters in _parameters(text) for rope in _ropes(text, parameters)]
    if not found:
        raise UnknownRopeError("it has rotary settings for none of its layer_types")
    return found


def rope_settings(text: Mapping[str, Any]) -> dict[str, Any]:
    """What both spellings, `rope_parameters` and `rope_scaling` with keys beside it, say, under the newer's names.

    Raises:
        UnknownRopeError: they contradict one another.
    """
    new, old = text.get("rope_parameters") or {}, text.get("rope_scaling") or {}
    for name, settings in (("rope_parameters", new), ("rope_scaling", old)):
        if not isinstance(settings, dict):
            raise UnknownRopeError(f"{name} {settings!r}")
    if any(isinstance(value, dict) for value in new.values()):
        return dict(new)
    new, old = _renamed(new), _renamed(old)
    for name, keys in (("rope_theta", _THETA), ("partial_rotary_factor", _PARTIAL)):
        beside = next((text[key] for key in keys if text.get(key) is not None), None)
        if beside is not None:
            old.setdefault(name, beside)
    if (original := text.get("original_max_position_embeddings")) is not None:
        old["original_max_position_embeddings"] = original
    for key in sorted(new.keys() & old.keys()):
        if new[key] != old[key]:
            raise UnknownRopeError(f"rope_parameters has {key} {new[key]}, the older spelling beside it {old[key]}")
    return old | new


def plain_settings(text: Mapping[str, Any]) -> dict[str, Any]:
    """The same for what takes no part in judging them: nothing where they contradict one another."""
    try:
        return rope_settings(text)
    except UnknownRopeError:
        return {}


def _renamed(rope: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in rope.items() if key not in ("type", "rope_type") and value is not None}
    kind = rope.get("rope_type") or rope.get("type")
    return found if kind is None else found | {"rope_type": _TYPES.get(kind, kind)}


def _parameters(text: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Those of the whole model, or of each kind of layer that it has."""
    settings = rope_settings(text)
    kinds = set(text.get("layer_types") or settings)
    nested = {kind: value for kind, value in settings.items() if isinstance(value, dict)}
    if nested:
        yield from (_renamed(value) for kind, value in nested.items() if kind in kinds)
        return
    local = next((text[key] for key in _LOCAL_THETA if text.get(key) is not None), None)
    scaled = settings.get("rope_type", "default") != "default" and local is None
    if scaled and len(set(text.get("layer_types") or ())) > 1 and text.get("model_type") not in _ONE_FOR_ALL:
        raise UnknownRopeError("several kinds of layers, and a scaling that may be meant for one of them")
    yield settings
    if local is not None and ("sliding_attention" in kinds or "layer_types" not in text):
        yield {"rope_theta": local}


def _ropes(text: dict[str, Any], settings: dict[str, Any]) -> list[Rope]:
    theta, kind = settings.get("rope_theta"), settings.get("rope_type", "default")
    if theta is None:
        raise UnknownRopeError("it names no rope_theta, so each library takes its own default")
    if kind not in KINDS:
        raise UnknownRopeError(f"rope type {kind!r}")
    try:
        theta = float(theta)
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            plain = _default(theta, _width(text, settings))
            found = KINDS[kind](plain, theta, settings, text)
    except UnknownRopeError:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise UnknownRopeError(f"rope type {kind!r} with {error!r}") from error
    about = f"rope_theta {theta:.12g}, rope type {kind}"
    return [Rope(kind, theta, frequencies, scale, about) for frequencies, scale in found]


def _width(text: dict[str, Any], settings: dict[str, Any]) -> int:
    """Channels of a head that are rotated."""
    if "global_head_dim" in text:
        raise UnknownRopeError("heads of two sizes")
    if (rotated := text.get("qk_rope_head_dim")) is not None:
        return int(rotated)
    head = head_size(text)
    if head is None:
        raise UnknownRopeError("no head_dim, so its class's own default counts")
    part = int(head * settings.get("partial_rotary_factor", 1.0))
    rotated = text.get("rotary_dim")
    if rotated is not None and "partial_rotary_factor" in settings and rotated != part:
        raise UnknownRopeError(f"rotary_dim {rotated}, and a partial_rotary_factor that makes {part} of {head}")
    return part if rotated is None else int(rotated)


def head_size(text: dict[str, Any]) -> int | None:
    """Channels of an attention head; None where config.json leaves them to its class's default.

    Args:
        text: the language model's part of config.json.

    Raises:
        KeyError: the keys they follow from are not there.
    """
    if isinstance(given := text.get("head_dim"), int | float):
        return int(given)
    return None if has_own_defaults(text) else int(text["hidden_size"] // text["num_attention_heads"])


def has_own_defaults(text: dict[str, Any]) -> bool:
    """Whether keys that are left out have a default of the class, as in the text part of a model that also sees."""
    return str(text.get("model_type", "")).endswith("_text")


def _default(theta: float, width: int) -> Frequencies:
    return np.asarray(theta ** (-np.arange(0, width, 2, dtype=np.float64) / width))


_Found = list[tuple[Frequencies, float | None]]


def _as_it_is(plain: Frequencies, _theta: float, _settings: dict[str, Any], _text: dict[str, Any]) -> _Found:
    return [(plain, 1.0)]


def _linear(plain: Frequencies, _theta: float, settings: dict[str, Any], _text: dict[str, Any]) -> _Found:
    return [(plain / settings["factor"], 1.0)]


def _llama3(plain: Frequencies, _theta: float, settings: dict[str, Any], _text: dict[str, Any]) -> _Found:
    """Slow pairs are divided by the factor, quick ones stay, those between are a mixture of both."""
    low, high = settings["low_freq_factor"], settings["high_freq_factor"]
    turns = settings["original_max_position_embeddings"] * plain / (2 * math.pi)
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return [(plain * (kept + (1 - kept) / settings["factor"]), 1.0)]


def _yarn(plain: Frequencies, theta: float, settings: dict[str, Any], text: dict[str, Any]) -> _Found:
    """Pairs of over `beta_fast` turns in the original length stay, those of under `beta_slow` are divided."""
    original = settings.get("original_max_position_embeddings") or text["max_position_embeddings"]
    factor = settings.get("factor") or text["max_position_embeddings"] / original
    width = 2 * len(plain)

    def pair(turns: float) -> float:
        return width * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    first, last = pair(settings.get("beta_fast") or 32), pair(settings.get("beta_slow") or 1)
    if settings.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, width - 1)
    divided = np.clip((np.arange(len(plain)) - first) / ((last - first) or 0.001), 0, 1)
    agreed = not any(settings.get(key) for key in ("mscale", "mscale_all_dim", "attention_factor", "attn_factor"))
    scale = 0.1 * math.log(factor) + 1 if factor > 1 else 1.0
    return [(plain * (1 - divided + divided / factor), scale if agreed else None)]


def _longrope(plain: Frequencies, _theta: float, settings: dict[str, Any], text: dict[str, Any]) -> _Found:
    """A factor a pair; others beyond the original length."""
    longest = text["max_position_embeddings"]
    original = settings.get("original_max_position_embeddings") or longest
    grown = longest / original
    agreed = settings.get("factor") in (None, grown) and not any(
        settings.get(key) for key in ("short_mscale", "long_mscale", "attention_factor")
    )
    scale = math.sqrt(1 + math.log(grown) / math.log(original)) if grown > 1 else 1.0
    factors = [settings["short_factor"], settings["long_factor"]]
    if any(len(one) != len(plain) for one in factors):
        raise UnknownRopeError(f"LongRoPE with {len(factors[0])} factors for {len(plain)} pairs")
    found = [plain / np.asarray(one, dtype=np.float64) for one in factors]
    return [(one, scale if agreed else None) for one in (found[:1] if factors[0] == factors[1] else found)]


KINDS: dict[str, Callable[[Frequencies, float, dict[str, Any], dict[str, Any]], _Found]] = {
    "default": _as_it_is,
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
}
"""Kinds of rotary embeddings that are recognised, by transformers' names."""
