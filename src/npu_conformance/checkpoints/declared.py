"""What a checkpoint's small files say that engines must have read: a second reading of them, by lines of our own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel, ConfigDict

from npu_conformance.checkpoints.headers import find_json
from npu_conformance.checkpoints.rope import UnknownRopeError, declared_ropes, has_own_defaults, head_size
from npu_conformance.errors import CheckpointError

FREQUENCIES, SCALE, KIND = "rotary frequencies", "rotary scale", "rope type"
EPSILON, HEAD_SIZE, HEADS, KV_HEADS = "norm epsilon", "head size", "attention heads", "KV heads"
WINDOW, SOFT_CAP, FINAL_SOFT_CAP = "sliding window", "attention soft-cap", "final soft-cap"
VOCABULARY, TIED, ENDS = "vocabulary", "tied embeddings", "end-of-text ids"
_EPSILONS = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "norm_epsilon")
# Their config classes use the window in every layer where config.json does not name kinds of layers.
_WINDOWED = ("mistral", "mixtral", "phi3", "starcoder2")
# Keys that speak of KV heads: the usual one, and those of families that count them in their own way.
_KV_KEYS = (
    "num_key_value_heads",
    "num_kv_heads",
    "num_attention_groups",
    "multi_query",
    "multi_query_group_num",
    "block_configs",
)
# Keys of models whose heads are not all alike.
_HEADS_DIFFER = (
    "kv_lora_rank",
    "v_head_dim",
    "global_head_dim",
    "attention_other_setting",
    "swa_head_dim",
    "swa_num_attention_heads",
)
_SILENT = "config.json does not say"

Value = float | bool | str | tuple[float, ...] | None
P = ParamSpec("P")
T = TypeVar("T")


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

    Raises:
        CheckpointError: its stop tokens are no token ids.
    """
    nested = config.get("text_config")
    text = nested if isinstance(nested, dict) else config
    found: dict[str, Declared | str] = {name: _asked(find, text) for name, find in _FACTS.items()}
    ropes = _asked(_rotary, text)
    found |= dict.fromkeys((FREQUENCIES, KIND, SCALE), ropes) if isinstance(ropes, str) else ropes
    found[TIED] = _asked(_tied, config, text)
    found[ENDS] = _told_of("the tokenizer's files", _ends, folder)
    return Declarations(
        facts={name: one for name, one in found.items() if isinstance(one, Declared)},
        unknown={name: one for name, one in found.items() if isinstance(one, str)},
    )


def _asked(find: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | str:
    """What config.json gives, or why not."""
    return _told_of("config.json", find, *args, **kwargs)


def _told_of(file: str, find: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | str:
    """What is found, or why not: an odd value, as a number in quotes, is no reason to read nothing else."""
    try:
        return find(*args, **kwargs)
    except UnknownRopeError as error:
        return f"{file}: {error}: not recognised"
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return f"{file}: {error!r}: not recognised"


_Finder = Callable[[dict[str, Any]], Declared | str]


def _says(value: Value, *more: Value, key: str) -> Declared:
    return Declared(values=(value, *more), source=f"config.json: {key}")


def _key(*names: str) -> _Finder:
    """The first of these keys that has a number."""

    def find(text: dict[str, Any]) -> Declared | str:
        name = next((name for name in names if isinstance(text.get(name), int | float)), None)
        return _SILENT if name is None else _says(text[name], key=f"{name} {text[name]:.12g}")

    return find


def _soft_cap(name: str) -> _Finder:
    # Without one is told as null or as 0.
    return lambda text: _says(text[name] or None, key=f"{name} {text[name]}") if name in text else _SILENT


def _of_heads(find: _Finder) -> _Finder:
    """Where all heads are alike."""

    def found(text: dict[str, Any]) -> Declared | str:
        several = next((key for key in _HEADS_DIFFER if key in text), None)
        return find(text) if several is None else f"config.json: {several}: its heads are not all alike"

    return found


def _head_size(text: dict[str, Any]) -> Declared | str:
    if isinstance(found := _key("head_dim")(text), Declared):
        return found
    width, heads = text.get("hidden_size"), text.get("num_attention_heads")
    size = head_size(text) if width and heads else None
    return _SILENT if size is None else _says(size, key=f"hidden_size {width}, num_attention_heads {heads}")


def _kv_heads(text: dict[str, Any]) -> Declared | str:
    """As many as there are heads, where no key speaks of them."""
    said = has_own_defaults(text) or any(key in text for key in _KV_KEYS)
    return _key("num_key_value_heads" if said else "num_attention_heads")(text)


def _window(text: dict[str, Any]) -> Declared | str:
    window, told = text.get("sliding_window"), f"sliding_window {text.get('sliding_window')}"
    if "sliding_window" not in text:
        return _SILENT
    if window is None or text.get("use_sliding_window") is False:
        return _says(None, key=told if window is None else "use_sliding_window false")
    if window >= (text.get("max_position_embeddings") or window + 1):
        return f"config.json: {told} is no shorter than the longest request"
    if isinstance(kinds := text.get("layer_types"), list):
        found = dict.fromkeys(window if "sliding" in kind else None for kind in kinds)
        return _says(*found, key=f"{told}, by layer_types")
    return _says(window, key=told) if text.get("model_type") in _WINDOWED else _SILENT


_FACTS: dict[str, _Finder] = {
    EPSILON: _key(*_EPSILONS),
    HEAD_SIZE: _of_heads(_head_size),
    HEADS: _of_heads(_key("num_attention_heads")),
    KV_HEADS: _of_heads(_kv_heads),
    WINDOW: _window,
    SOFT_CAP: _soft_cap("attn_logit_softcapping"),
    FINAL_SOFT_CAP: _soft_cap("final_logit_softcapping"),
    VOCABULARY: _key("vocab_size"),
}


def _rotary(text: dict[str, Any]) -> dict[str, Declared | str]:
    ropes = declared_ropes(text)
    about = "; ".join(dict.fromkeys(rope.about for rope in ropes))
    scales = dict.fromkeys(rope.scale for rope in ropes)
    return {
        FREQUENCIES: _says(*(tuple(rope.frequencies.tolist()) for rope in ropes), key=about),
        KIND: _says(*dict.fromkeys(rope.kind for rope in ropes), key=about),
        SCALE: f"config.json: {about}: libraries scale it differently" if None in scales else _says(*scales, key=about),
    }


def _tied(config: dict[str, Any], text: dict[str, Any]) -> Declared | str:
    found = {part["tie_word_embeddings"] for part in (config, text) if "tie_word_embeddings" in part}
    if len(found) != 1:
        return _SILENT if not found else "config.json and its text_config disagree: not recognised"
    (tied,) = found
    return Declared(values=(bool(tied),), source=f"config.json: tie_word_embeddings {str(bool(tied)).lower()}")


def _listed_ends(folder: Path) -> tuple[str, list[int]] | None:
    """The stop tokens of generation_config.json, without it of config.json as engines do; and the file's name.

    None where neither speaks of them: the model's class may.
    """
    file = "generation_config.json"
    if (given := find_json(folder / file)) is None:
        file, config = "config.json", find_json(folder / "config.json") or {}
        nested = config.get("text_config")
        given = {**(nested if isinstance(nested, dict) else {}), **config}
        if "eos_token_id" not in given:
            return None
    asked = given.get("eos_token_id")
    listed = [one for one in (asked if isinstance(asked, list) else [asked]) if one is not None]
    if not all(isinstance(one, int) for one in listed):
        raise CheckpointError(f"{folder / file}: eos_token_id is {asked!r}, expected a token id or a list of them")
    return file, listed


def _ends(folder: Path) -> Declared | str:
    """Tokens at which engines stop: those listed, and the tokenizer's own."""
    if (told := _listed_ends(folder)) is None:
        return "generation_config.json is not there, and config.json does not say"
    file, listed = told
    ids = set(listed)
    source = f"{file}: eos_token_id {listed}"
    own = tokenizers_end(folder)
    if own is None:
        return "the tokenizer's own cannot be told from tokenizer_config.json and tokenizer.json"
    token, number = own
    if number is not None:
        source += f"; tokenizer_config.json: eos_token {token!r} ({number})"
        ids.add(number)
    return Declared(values=(tuple(sorted(ids)),), source=source)


def tokenizers_end(folder: Path) -> tuple[str | None, int | None] | None:
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
