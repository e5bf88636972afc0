"""The values of config.json that everything else computes with: whether they are of the kind that libraries read."""

import json
import reprlib
from collections.abc import Collection, Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError

from npu_conformance.checkpoints.checkpoint import EXPERTS, Finding

_Count = Annotated[int, Field(strict=True, gt=0, lt=1 << 31)]
_Counts = _Count | Annotated[list[Annotated[int, Field(strict=True, ge=0, lt=1 << 31)]], Field(min_length=1)] | None
"""Of all layers, or of each."""
_Number = Annotated[float, Field(strict=True, gt=0, lt=1 << 40, allow_inf_nan=False)] | None
_None = Annotated[int, Field(strict=True, ge=0, le=0)]
Token = Annotated[int, Field(strict=True, ge=-1, lt=1 << 31)]
Tokens = Token | list[Token] | None
_DTYPE = r"^(torch\.)?(bfloat16|float(8_\w+|16|32|64)?|half|double|auto|u?int8)$"
_Dtype = Annotated[str, Field(strict=True, pattern=_DTYPE)]
_CORRECT = "correct it by the published config.json"
_NEEDED = {
    **dict.fromkeys(("linear", "yarn", "deepseek_yarn", "deepseek_llama_scaling"), ("factor",)),
    **dict.fromkeys(("longrope", "su"), ("short_factor", "long_factor")),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}
"""Kinds of rotations, and the keys without which neither transformers nor vLLM computes them."""


class _Rope(BaseModel):
    model_config = ConfigDict(extra="ignore")

    rope_type: StrictStr | None = None
    rope_theta: _Number = None
    factor: _Number = None
    original_max_position_embeddings: _Count | None = None
    partial_rotary_factor: _Number = None


class _Part(BaseModel):
    """config.json, or its text_config. What it does not name is not looked at."""

    model_config = ConfigDict(extra="ignore")

    architectures: list[StrictStr] | None = None
    model_type: StrictStr | None = None
    dtype: _Dtype | dict[str, Any] | None = None
    torch_dtype: _Dtype | dict[str, Any] | None = None
    vocab_size: _Count | None = None
    hidden_size: _Count | None = None
    num_hidden_layers: _Count | None = None
    num_attention_heads: _Counts = None
    num_key_value_heads: _Counts = None
    head_dim: _Counts | _None = None
    """0 of latent attention, which has sizes of its own."""
    intermediate_size: _Counts = None
    moe_intermediate_size: _Counts = None
    num_experts_per_tok: _Counts = None
    max_position_embeddings: _Number = None
    """Some libraries write it as 1200.0."""
    rms_norm_eps: _Number = None
    rope_theta: _Number = None
    partial_rotary_factor: _Number = None
    tie_word_embeddings: StrictBool | None = None
    layer_types: list[StrictStr] | None = None
    eos_token_id: Tokens = None
    bos_token_id: Tokens = None


def value_findings(config: dict[str, Any], known: Collection[str] = ()) -> list[Finding]:
    """Values that no library reads as they are meant, an error each; a key that is null or not there is none.

    Args:
        config: config.json.
        known: keys of the language model's part of which the right value is known, and told elsewhere.
    """
    nested = "text_config." if isinstance(config.get("text_config"), dict) else ""
    left = tuple(f"{nested}{key} is " for key in known)
    found = dict.fromkeys(_problems(config))
    return [Finding("error", "config.json", told) for told in found if not told.startswith(left)]


def _problems(config: dict[str, Any]) -> Iterator[str]:
    if not any(config.get(key) for key in _NAMES):
        yield "has no model_type and no architectures, so that it is no model's: download it again"
    nested = config.get("text_config")
    parts = {"": config} | ({"text_config.": nested} if isinstance(nested, dict) else {})
    if nested is not None and not isinstance(nested, dict):
        yield told("text_config", nested, "an object")
    for prefix, part in parts.items():
        yield from _wrong(_Part, part, prefix)
        for key in EXPERTS:
            if not _experts(part.get(key)):
                yield told(f"{prefix}{key}", part[key], "a whole number")
        for key in ("rope_scaling", "rope_parameters"):
            yield from _rope(part.get(key), f"{prefix}{key}")


def _experts(value: object) -> bool:
    """A number, one a layer, or none; 0 of a dense model."""
    values = value if isinstance(value, list) else [value or 0]
    return all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 1 << 31 for one in values)


def _rope(rope: object, key: str) -> Iterator[str]:
    """Of all layers, or of each kind."""
    if rope is None:
        return
    if not isinstance(rope, dict):
        yield told(key, rope, "an object")
        return
    for where, own in {key: rope, **{f"{key}.{kind}": own for kind, own in rope.items()}}.items():
        if isinstance(own, dict):
            yield from _wrong(_Rope, own, f"{where}.")
            yield from _kind(own, where)


def _kind(rope: dict[str, Any], key: str) -> Iterator[str]:
    kind = rope.get("rope_type", rope.get("type"))
    needed = _NEEDED.get(kind, ()) if isinstance(kind, str) else ()
    if missing := [one for one in needed if rope.get(one) is None]:
        yield f"{key} has no {' and no '.join(missing)}, which rope_type {kind} needs: {_CORRECT}"


def _wrong(model: type[BaseModel], part: dict[str, Any], prefix: str) -> Iterator[str]:
    try:
        model.model_validate(part)
    except ValidationError as error:
        for key in dict.fromkeys(str(one["loc"][0]) for one in error.errors(include_url=False, include_input=False)):
            yield told(f"{prefix}{key}", part[key], _EXPECTED.get(key, "a whole number above zero"))


def told(key: str, value: object, expected: str, remedy: str = _CORRECT) -> str:
    """A value that is not of its kind, in one line."""
    return f"{key} is {spelled(value)}, expected {expected}: {remedy}"


def spelled(value: Any) -> str:
    """A value as JSON spells it, shortened to what fits a line."""
    return json.dumps(value) if value is None or isinstance(value, bool) else reprlib.repr(value)


_NAMES = ("model_type", "architectures")
_NUMBERS = ("max_position_embeddings", "rms_norm_eps", "rope_theta", "factor", "partial_rotary_factor")
_TEXTS = ("model_type", "rope_type")
_EXPECTED = {
    **dict.fromkeys(_NUMBERS, "a number above zero"),
    **dict.fromkeys(_TEXTS, "text"),
    **dict.fromkeys(("dtype", "torch_dtype"), "a dtype of torch such as bfloat16"),
    **dict.fromkeys(("architectures", "layer_types"), "a list of names"),
    **dict.fromkeys(("eos_token_id", "bos_token_id"), "a token id or a list of them"),
    "tie_word_embeddings": "true or false",
}
