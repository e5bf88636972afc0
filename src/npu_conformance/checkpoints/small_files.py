"""The small files beside config.json: what no library reads, and what two of them read differently."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding
from npu_conformance.checkpoints.content import pointers
from npu_conformance.checkpoints.declared import tokenizers_end
from npu_conformance.checkpoints.headers import find_json, read_json, shown
from npu_conformance.checkpoints.small_schemas import SMALL_FILES, wrong_values
from npu_conformance.errors import CheckpointError

_GENERATION, _SETTINGS, _WORDS = "generation_config.json", "tokenizer_config.json", "tokenizer.json"
_TEMPLATE = "chat_template.jinja"
# Classes that split as SentencePiece does whatever tokenizer.json says, where transformers 5 knows no better.
_SENTENCEPIECE = ("LlamaTokenizer", "LlamaTokenizerFast")
# The class that transformers 5 writes where it knows no other.
_NEWER = "TokenizersBackend"


def small_file_findings(checkpoint: Checkpoint) -> list[Finding]:
    """What generation_config.json and the tokenizer's files have that is wrong, or read in two ways."""
    found: dict[str, dict[str, Any]] = {}
    findings, pointing = [], {path.name for path, _ in pointers(checkpoint.folder)}  # which are told of already
    for name in SMALL_FILES:
        if name in pointing or not (checkpoint.folder / name).exists():
            continue
        try:
            found[name] = read_json(checkpoint.folder / name, "")
        except CheckpointError as error:
            findings.append(Finding("error", name, str(error).removeprefix(f"{checkpoint.folder / name}: ")))
            continue
        findings += [Finding("error", name, one) for one in wrong_values(name, found[name])]
    if findings or pointing:
        return findings
    generation, settings, words = (found.get(name) for name in (_GENERATION, _SETTINGS, _WORDS))
    return [
        *_ends(checkpoint, generation),
        *_penalty(generation),
        *_class(checkpoint, settings, words),
        *_unknown(settings, words),
        *_beyond(checkpoint, words),
        *_templates(checkpoint.folder, settings),
    ]


def _ends(checkpoint: Checkpoint, generation: dict[str, Any] | None) -> Iterator[Finding]:
    """Engines stop at those of generation_config.json, where there is one, and at the tokenizer's own."""
    if generation is None:
        return
    said, stops = (_listed(part.get("eos_token_id")) for part in (checkpoint.text_config, generation))
    own = tokenizers_end(checkpoint.folder) if said - stops else None
    if left := said - stops - _listed(own and own[1]):
        message = (
            f"eos_token_id is {_ids(said)}, {_GENERATION} says {_ids(stops) or 'none'}; engines stop by {_GENERATION} "
            f"and at the tokenizer's own, not at {_ids(left)} otherwise"
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


def _unknown(settings: dict[str, Any] | None, words: dict[str, Any] | None) -> Iterator[Finding]:
    """The tokens around a text, where the tokenizer's file has no such word: transformers adds one."""
    model = (words or {}).get("model") or {}
    vocabulary = model.get("vocab") or {}
    there = set(vocabulary) if isinstance(vocabulary, dict) else {one[0] for one in vocabulary if one}
    there |= {one["content"] for one in (words or {}).get("added_tokens") or []}
    for key in ("bos_token", "eos_token") if there else ():
        token = (settings or {}).get(key)
        text = token["content"] if isinstance(token, dict) else token
        if text is not None and text not in there:
            message = (
                f"{key} is {shown(text)}, which {_WORDS} does not have; transformers adds it, with an id that the "
                "model was not trained with: download both files again"
            )
            yield Finding("warning", _SETTINGS, message)


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
