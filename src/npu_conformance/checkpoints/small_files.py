"""generation_config.json, the tokenizer's files and chat templates: whether they are read, and by everybody alike."""

import reprlib
from collections.abc import Iterator
from typing import Any

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding
from npu_conformance.checkpoints.content import pointers
from npu_conformance.checkpoints.headers import find_json, read_json, shown
from npu_conformance.checkpoints.stack import find_stack
from npu_conformance.errors import CheckpointError

_GENERATION, _SETTINGS, _TOKENIZER = "generation_config.json", "tokenizer_config.json", "tokenizer.json"
_OBJECTS = (_GENERATION, _SETTINGS, _TOKENIZER, "special_tokens_map.json", "added_tokens.json")


def small_file_findings(checkpoint: Checkpoint) -> list[Finding]:
    """What would surprise a reader of these files; a file that is not there is no finding."""
    return [
        *_unreadable(checkpoint),
        *_generation(checkpoint),
        *_tokenizer(checkpoint),
        *_templates(checkpoint),
    ]


def _unreadable(checkpoint: Checkpoint) -> Iterator[Finding]:
    told = {path.name for path, _ in pointers(checkpoint.folder)}
    for name in _OBJECTS:
        path = checkpoint.folder / name
        if not path.exists() or name in told:
            continue
        try:
            read_json(path, "")
        except CheckpointError as error:
            yield Finding("error", name, str(error).removeprefix(f"{path}: "))


def _generation(checkpoint: Checkpoint) -> Iterator[Finding]:
    settings = find_json(checkpoint.folder / _GENERATION) or {}
    penalty = settings.get("repetition_penalty")
    if isinstance(penalty, int | float) and penalty != 1:
        message = (
            f"repetition_penalty is {penalty:g}, which vLLM's server applies: served answers differ from the greedy "
            "ones that are judged here"
        )
        yield Finding("note", _GENERATION, message)
    listed, own = (_ids(part.get("eos_token_id")) for part in (settings, checkpoint.text_config))
    if listed and any(one not in listed for one in own):
        shorter, theirs = reprlib.repr(listed), reprlib.repr(own)
        message = f"eos_token_id is {shorter}, in config.json it is {theirs}: engines stop at those of {_GENERATION}"
        yield Finding("note", _GENERATION, message)


def _ids(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _tokenizer(checkpoint: Checkpoint) -> Iterator[Finding]:
    settings = find_json(checkpoint.folder / _SETTINGS) or {}
    file = find_json(checkpoint.folder / _TOKENIZER) or {}
    kind = settings.get("tokenizer_class")
    if kind == "TokenizersBackend" or isinstance(settings.get("extra_special_tokens"), list):
        message = (
            "was saved by transformers 5, and transformers 4 does not read it: for an engine with that, write "
            "PreTrainedTokenizerFast as tokenizer_class and extra_special_tokens as a mapping"
        )
        yield Finding("note", _SETTINGS, message)
    # Of other families transformers 5 knows better than to believe the class.
    if (
        kind in ("LlamaTokenizer", "LlamaTokenizerFast")
        and checkpoint.config.get("model_type") == "llama"
        and _bytes(file)
    ):
        message = (
            f"tokenizer_class is {kind}, and {_TOKENIZER} is of another kind (ByteLevel): transformers 5 splits text "
            "by the class; write PreTrainedTokenizerFast"
        )
        yield Finding("warning", _SETTINGS, message)
    yield from _beyond(checkpoint, file)


def _bytes(file: dict[str, Any]) -> bool:
    parts = [file.get("pre_tokenizer"), file.get("decoder")]
    nested = [part.get(key) for part in parts if isinstance(part, dict) for key in ("pretokenizers", "decoders")]
    parts += [one for many in nested if isinstance(many, list) for one in many]
    return any(isinstance(part, dict) and part.get("type") == "ByteLevel" for part in parts)


def _beyond(checkpoint: Checkpoint, file: dict[str, Any]) -> Iterator[Finding]:
    stack, added = find_stack(checkpoint), file.get("added_tokens")
    if stack is None or not isinstance(added, list):
        return
    rows = stack.embedding.shape[0]
    ids = [(one.get("id"), one.get("content")) for one in added if isinstance(one, dict)]
    beyond = [(number, word) for number, word in ids if isinstance(number, int) and number >= rows]
    if beyond:
        number, word = beyond[0]
        message = (
            f"{shown(str(word))!r} has id {number}, and the embedding {rows} rows: a prompt with it is "
            f"refused, or reads what is not there ({len(beyond)} such)"
        )
        yield Finding("note", _TOKENIZER, message)


def _templates(checkpoint: Checkpoint) -> Iterator[Finding]:
    path, settings = checkpoint.folder / "chat_template.jinja", find_json(checkpoint.folder / _SETTINGS) or {}
    inline = settings.get("chat_template")
    if not path.is_file() or not isinstance(inline, str) or path.stat().st_size > 1 << 20:
        return
    if path.read_bytes().decode(errors="replace").strip() != inline.strip():
        message = f"is another template than that of {_SETTINGS}: newer releases of transformers take this one"
        yield Finding("note", path.name, f"{message}, older ones the other")
