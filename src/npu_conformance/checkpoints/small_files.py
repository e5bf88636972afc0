"""The small files beside config.json: what no library reads, and what two of them read differently."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding
from npu_conformance.checkpoints.config_values import Tokens, told
from npu_conformance.checkpoints.content import pointers
from npu_conformance.checkpoints.headers import find_json, read_json, shown
from npu_conformance.errors import CheckpointError

_GENERATION, _SETTINGS, _WORDS = "generation_config.json", "tokenizer_config.json", "tokenizer.json"
_TEMPLATE = "chat_template.jinja"
_READ = (_GENERATION, _SETTINGS, _WORDS, "special_tokens_map.json", "added_tokens.json")
# Classes that split as SentencePiece does whatever tokenizer.json says, where transformers 5 knows no better.
_SENTENCEPIECE = ("LlamaTokenizer", "LlamaTokenizerFast")
# The class that transformers 5 writes where it knows no other.
_NEWER = "TokenizersBackend"


class _Generation(BaseModel):
    model_config = ConfigDict(extra="ignore")

    eos_token_id: Tokens = None
    bos_token_id: Tokens = None
    pad_token_id: Tokens = None
    repetition_penalty: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] | None = None


class _Named(BaseModel):
    name: StrictStr
    template: StrictStr


class _Token(BaseModel):
    model_config = ConfigDict(extra="ignore")

    content: StrictStr


class _Settings(BaseModel):
    model_config = ConfigDict(extra="ignore")

    tokenizer_class: StrictStr | None = None
    chat_template: StrictStr | list[_Named] | dict[str, StrictStr] | None = None
    bos_token: StrictStr | _Token | None = None
    eos_token: StrictStr | _Token | None = None


class _Added(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: Annotated[int, Field(strict=True, ge=0)]
    content: StrictStr


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore")

    vocab: dict[str, int] | list[Any] | None = None


class _Words(BaseModel):
    model_config = ConfigDict(extra="ignore")

    added_tokens: list[_Added] | None = None
    model: _Model


_SCHEMAS: dict[str, type[BaseModel]] = {_GENERATION: _Generation, _SETTINGS: _Settings, _WORDS: _Words}
_EXPECTED = {
    "eos_token_id": "a token id or a list of them",
    "bos_token_id": "a token id or a list of them",
    "pad_token_id": "a token id or a list of them",
    "repetition_penalty": "a number above zero",
    "tokenizer_class": "text",
    "chat_template": "a template, or a list of them with names",
    "bos_token": "a token",
    "eos_token": "a token",
    "added_tokens": "a list of tokens with id and content",
    "model": "an object with the vocabulary",
}


def small_file_findings(checkpoint: Checkpoint) -> list[Finding]:
    """What generation_config.json and the tokenizer's files have that is wrong, or read in two ways."""
    found: dict[str, dict[str, Any]] = {}
    findings, pointing = [], {path.name for path, _ in pointers(checkpoint.folder)}  # which are told of already
    for name in _READ:
        if name in pointing or not (checkpoint.folder / name).exists():
            continue
        try:
            found[name] = read_json(checkpoint.folder / name, "")
        except CheckpointError as error:
            findings.append(Finding("error", name, str(error).removeprefix(f"{checkpoint.folder / name}: ")))
            continue
        findings += [Finding("error", name, one) for one in _wrong(_SCHEMAS.get(name), found[name])]
    if findings or pointing:
        return findings
    generation, settings, words = (found.get(name) for name in (_GENERATION, _SETTINGS, _WORDS))
    return [
        *_ends(checkpoint, generation),
        *_penalty(generation),
        *_class(checkpoint, settings, words),
        *_beyond(checkpoint, words),
        *_templates(checkpoint.folder, settings),
    ]


def _wrong(schema: type[BaseModel] | None, content: dict[str, Any]) -> Iterator[str]:
    if schema is None:
        return
    try:
        schema.model_validate(content)
    except ValidationError as error:
        for key in dict.fromkeys(str(one["loc"][0]) for one in error.errors(include_url=False, include_input=False)):
            yield told(key, content.get(key), _EXPECTED[key], "download the file again")


def _ends(checkpoint: Checkpoint, generation: dict[str, Any] | None) -> Iterator[Finding]:
    """Engines stop at those of generation_config.json, where there is one, and at the tokenizer's own."""
    if generation is None or "eos_token_id" not in generation:
        return
    said, stops = (_listed(part.get("eos_token_id")) for part in (checkpoint.text_config, generation))
    if left := said - stops:
        message = (
            f"eos_token_id is {_ids(said)}, {_GENERATION} says {_ids(stops)}; engines stop by {_GENERATION} and at the "
            f"tokenizer's own, not at {_ids(left)} otherwise"
        )
        yield Finding("note", "config.json", message)


def _listed(asked: Any) -> set[int]:
    return {one for one in (asked if isinstance(asked, list) else [asked]) if isinstance(one, int)}


def _ids(ids: set[int]) -> str:
    return ", ".join(map(str, sorted(ids)))


def _penalty(generation: dict[str, Any] | None) -> Iterator[Finding]:
    penalty = (generation or {}).get("repetition_penalty")
    if penalty not in (None, 1, 1.0):
        message = (
            f"repetition_penalty is {penalty:g}: vLLM serves with it unless told otherwise, so that greedy answers "
            "differ from those judged here, which have none"
        )
        yield Finding("note", _GENERATION, message)


def _class(checkpoint: Checkpoint, settings: dict[str, Any] | None, words: dict[str, Any] | None) -> Iterator[Finding]:
    name = (settings or {}).get("tokenizer_class")
    if name in _SENTENCEPIECE and words is not None and _bytewise(words):
        sure = checkpoint.config.get("model_type") == "llama"
        message = (
            f"tokenizer_class is {name}, which splits as SentencePiece does, but {_WORDS} splits bytes: transformers 5 "
            f"gives other token ids than the file: write PreTrainedTokenizerFast, as the file is meant"
            if sure
            else f"tokenizer_class is {name}, which splits as SentencePiece does, but {_WORDS} splits bytes; "
            "shared_inputs holds the ids of every prompt against the file"
        )
        yield Finding("warning" if sure else "note", _SETTINGS, message)


def _bytewise(words: dict[str, Any]) -> bool:
    """Whether the tokenizer's decoder turns letters into bytes."""
    decoder = words.get("decoder")
    parts = [decoder, *(decoder.get("decoders") or [])] if isinstance(decoder, dict) else []
    return any(isinstance(one, dict) and one.get("type") == "ByteLevel" for one in parts)


def _beyond(checkpoint: Checkpoint, words: dict[str, Any] | None) -> Iterator[Finding]:
    size = checkpoint.text_config.get("vocab_size")
    added = (words or {}).get("added_tokens") or []
    beyond = [one for one in added if isinstance(size, int) and one["id"] >= size]
    if beyond:
        more = f" ({len(beyond) - 1} more such)" if beyond[1:] else ""
        message = (
            f"token {shown(beyond[0]['content'])} has id {beyond[0]['id']}, vocab_size is {size}; a prompt with it "
            f"reads outside of the embedding: download the tokenizer of this model{more}"
        )
        yield Finding("warning", _WORDS, message)


def _templates(folder: Path, settings: dict[str, Any] | None) -> Iterator[Finding]:
    inside, path = (settings or {}).get("chat_template"), folder / _TEMPLATE
    if isinstance(inside, str) and path.is_file():
        own = path.read_text(encoding="utf-8", errors="replace")
        if own.strip() != inside.strip():
            yield Finding("note", _TEMPLATE, f"differs from the template in {_SETTINGS}; libraries take {_TEMPLATE}")


def has_template(folder: Path) -> bool:
    """Whether a checkpoint's files have a chat template; one that comes with the tokenizer's code is not seen."""
    own = (_TEMPLATE, "chat_template.json", "additional_chat_templates")
    settings = find_json(folder / _SETTINGS) or {}
    return bool(settings.get("chat_template")) or any((folder / name).exists() for name in own)


def newer_tokenizer(checkpoint: Checkpoint, version: str, whose: str) -> Finding | None:
    """An error where a tokenizer was saved by transformers 5 and is to be read by an older one.

    Args:
        checkpoint: which.
        version: of transformers.
        whose: it is, for the message.
    """
    path = checkpoint.folder / _SETTINGS
    if not path.is_file() or int(version.split(".")[0]) >= 5:
        return None
    settings = find_json(path) or {}
    if settings.get("tokenizer_class") == _NEWER:
        key = f"tokenizer_class {_NEWER}"
    elif isinstance(settings.get("extra_special_tokens"), list):
        key = "extra_special_tokens as a list"
    else:
        return None
    message = (
        f"has {key}, as transformers 5 writes it; {whose} transformers {version} cannot read it: use the published "
        "tokenizer_config.json, or a newer transformers"
    )
    return Finding("error", _SETTINGS, message)
