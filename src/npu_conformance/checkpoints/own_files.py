"""A candidate's own small files against the published ones, key by key: configs and tokenizer."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from npu_conformance.checkpoints.headers import find_json
from npu_conformance.checkpoints.rope import UnknownRopeError, declared_ropes, rope_settings

_ABSENT = "not there"
_ROPE = (
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "rope_local_base_freq",
    "rotary_emb_base",
    "partial_rotary_factor",
    "rotary_pct",
)
_GENERATION = "generation_config.json"
# Without that file engines take these from config.json.
_ENDS = ("eos_token_id", "bos_token_id")

EXCEPTED = {
    "quantization_config": "the candidate is stored in another format",
    "compression_config": "the candidate is stored in another format",
    "dtype": "the candidate is stored in another dtype",
    "torch_dtype": "the candidate is stored in another dtype",
    "transformers_version": "says who wrote the file",
    "_name_or_path": "says where the file was",
    "_commit_hash": "says where the file was",
    "use_cache": "engines always keep a KV cache",
    "name_or_path": "says where the file was",
    "processor_class": "the suite asks in words only",
    "tokenizer_class": "libraries rename their classes; what the class makes of the prompts is judged by its ids",
    "backend": "says who wrote the file",
    "is_local": "says where the file was",
    "local_files_only": "says where the file was",
    "truncation": "no prompt is truncated",
    "padding": "no prompt is padded",
}
"""Keys that a converted candidate may have otherwise, with the reason."""
# Of a key that only the candidate has: what libraries write out as a default decides nothing, but for these.
_DECIDES = re.compile(
    r"rope|rotary|window|softcap|soft_cap|multiplier|scal|tie_|^bias|_bias|norm_topk|eos_token|bos_token|eps"
    r"|chat_template|penalty"
)
_TEXT = "text_config."
# What transformers takes where config.json has no such key: a class with another default always writes it.
_LEFT_OUT = {"tie_word_embeddings": True}
# Files that are compared whole: a byte more is another tokenizer.
_WHOLE = ("vocab.json", "merges.txt", "tokenizer.model", "tiktoken.model", "added_tokens.json")


class OwnFiles(BaseModel):
    """What came of the comparison."""

    model_config = ConfigDict(frozen=True)

    keys: int
    """That were compared."""
    differences: tuple[str, ...]
    """File, key and both values of each that differs."""


def compare_files(candidate: Path, published: Path) -> OwnFiles:
    """Hold a candidate's small files against the published ones.

    Args:
        candidate: checkpoint folder with files of its own.
        published: the published checkpoint's folder.
    """
    keys, differences = 0, []
    for name, read in _FILES.items():
        mine, theirs = read(candidate, name), read(published, name)
        if (mine is None or theirs is None) and name in _WHOLE:
            continue  # the same words may be kept in tokenizer.json alone
        if name == _GENERATION and (mine is None) != (theirs is None):
            mine, theirs = mine or _ends(candidate), theirs or _ends(published)
        mine, theirs = mine or {}, theirs or {}
        short = _short(theirs)
        for key in sorted({*mine, *theirs}):
            if short and key.startswith(_TEXT) and (key not in theirs or (key not in mine and "rope" in key)):
                continue  # what it means is the class's to say
            pair = mine.get(key, _ABSENT), theirs.get(key, _ABSENT)
            if not _counts(key, *pair):
                continue
            keys += 1
            if pair[0] != pair[1]:
                place = name if key == "" else f"{name}: {key}"
                differences.append(f"{place} {_shown(pair[0])}, published {_shown(pair[1])}")
    return OwnFiles(keys=keys, differences=tuple(differences))


def _ends(folder: Path) -> dict[str, Any]:
    """What config.json says in place of a generation_config.json."""
    config = find_json(folder / "config.json") or {}
    return {key: config[key] for key in _ENDS if key in config}


def _short(published: dict[str, Any]) -> bool:
    """Whether a config leaves even its norms to its class's defaults, as Gemma 3's does; a library writes all out."""
    text = [key for key in published if key.startswith(_TEXT)]
    return bool(text) and not any("eps" in key for key in text)


def _counts(key: str, mine: Any, theirs: Any) -> bool:
    if any(part in EXCEPTED for part in key.split(".")):
        return False
    if mine is not _ABSENT and theirs is not _ABSENT:
        return True
    only = theirs if mine is _ABSENT else mine
    if (usual := _LEFT_OUT.get(key.split(".")[-1])) is not None:
        return bool(only != usual)
    # A key that says nothing may be left out, or written.
    if only is None or only in ("", [], {}) or (mine is not _ABSENT and only is False):
        return False
    decides = bool(_DECIDES.search(key))
    return decides or (mine is _ABSENT and bool(only))


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _settings(folder: Path, name: str) -> dict[str, Any] | None:
    """A JSON file by dotted keys, a model's rotary settings in one spelling."""
    content = find_json(folder / name)
    if content is None:
        return None
    return dict(_flat(_one_spelling(content)))


def _one_spelling(content: dict[str, Any]) -> dict[str, Any]:
    nested = content.get("text_config")
    if isinstance(nested, dict):
        content = content | {"text_config": _one_spelling(nested)}
    if not any(key in content for key in _ROPE):
        return content
    try:
        rope = rope_settings(content)
        if "rope_local_base_freq" in content or any(isinstance(value, dict) for value in rope.values()):
            rope = {"rotary embeddings": _by_kind(content)}
        elif "rope_theta" not in rope:
            return content
    except UnknownRopeError:
        return content
    plain = {key: value for key, value in content.items() if key not in _ROPE}
    return plain | {"rope_type": "default"} | rope


def _by_kind(content: dict[str, Any]) -> list[str]:
    """The rotary embeddings of a model whose kinds of layers rotate differently: the spellings share no key."""
    found = {
        f"{rope.about}, {rope.frequencies[0]:.6g} to {rope.frequencies[-1]:.6g} radians a token"
        for rope in declared_ropes(content)
    }
    return sorted(found)


def _number(value: Any) -> Any:
    """1000000.0 and 1000000 are one number, and are shown as one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _flat(content: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict) and value and key not in EXCEPTED:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", _number(value)


def _tokenizer_settings(folder: Path, name: str) -> dict[str, Any] | None:
    """tokenizer_config.json with the chat template, in whichever file that is."""
    content = find_json(folder / name)
    if content is None:
        return None
    template = folder / "chat_template.jinja"
    if template.is_file():
        content["chat_template"] = template.read_text(encoding="utf-8")
    elif (beside := find_json(folder / "chat_template.json")) is not None:
        content["chat_template"] = beside.get("chat_template")
    words = {key: value.get("content") if isinstance(value, dict) else value for key, value in content.items()}
    return {key: value for key, value in words.items() if key not in _ELSEWHERE}


# Of tokenizer_config.json: said again in tokenizer.json, and spelled otherwise by each major version of transformers.
_ELSEWHERE = ("added_tokens_decoder", "additional_special_tokens", "extra_special_tokens", "special_tokens_map")


def _words(folder: Path, name: str) -> dict[str, Any] | None:
    """tokenizer.json by its parts; merges in one of their two spellings."""
    content = find_json(folder / name)
    if content is None:
        return None
    model = dict(content.pop("model", None) or {})
    if isinstance(merges := model.get("merges"), list):
        model["merges"] = [one if isinstance(one, str) else " ".join(one) for one in merges]
    return content | {f"model.{key}": value for key, value in model.items()}


def _whole(folder: Path, name: str) -> dict[str, Any] | None:
    path = folder / name
    return {"": path.read_bytes().hex()} if path.is_file() else None


_FILES: dict[str, Callable[[Path, str], dict[str, Any] | None]] = {
    "config.json": _settings,
    "generation_config.json": _settings,
    "tokenizer_config.json": _tokenizer_settings,
    "tokenizer.json": _words,
    **dict.fromkeys(_WHOLE, _whole),
}
"""By name, what reads it."""
