"""Which weight files of a folder are read, and by whom: vLLM and transformers choose by rules of their own.

transformers takes `model.safetensors` alone, else what the index lists, else the same of `.bin` files. vLLM takes every
`*.safetensors` file, with an index only those that it lists; without any, every `*.bin` file. Where there are
`consolidated*.safetensors`, Mistral's own names, it takes these instead (default_loader.py, weight_utils.py).
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from npu_conformance.checkpoints.checkpoint import Finding, some
from npu_conformance.checkpoints.headers import read_json, shown
from npu_conformance.errors import CheckpointError

_WHOLE = {".safetensors": "model.safetensors", ".bin": "pytorch_model.bin"}
_MODELSLIM = "quant_model_weights.safetensors.index.json"
# Of trainers; vLLM leaves them out.
_NO_WEIGHTS = ("training_args.bin", "optimizer.bin")
_SHARD = re.compile(r"(?P<stem>.+)-[0-9]+-of-(?P<count>[0-9]{1,5})(?P<end>\.\w+)")


@dataclass(frozen=True)
class Layout:
    """The weight files of a folder by who reads them."""

    files: tuple[Path, ...]
    """That hold the checkpoint: what transformers reads, or vLLM where transformers finds nothing."""
    strays: tuple[Path, ...] = ()
    """Others that vLLM reads besides."""
    consolidated: tuple[Path, ...] = ()
    """That vLLM reads instead: the same weights under Mistral's names."""
    index: Path | None = None
    places: dict[str, str] = field(default_factory=dict)
    """What the index says: file by tensor."""
    findings: tuple[Finding, ...] = ()


class _Index(BaseModel):
    model_config = ConfigDict(strict=True)

    weight_map: dict[str, str]


def find_layout(folder: Path) -> Layout:
    """Find the weight files of a folder by their names and by its index.

    Raises:
        CheckpointError: there are none, the index is not one, or lists files that are not here.
    """
    for end in _WHOLE:
        stored = [path for path in sorted(folder.glob(f"[!.]*{end}")) if not path.name.endswith(_NO_WEIGHTS)]
        whole = folder / _WHOLE[end]
        index = _index(folder, end)
        if stored or index:
            return _layout(folder, whole, index, stored)
    raise CheckpointError(f"{folder}: no weights here (neither *.safetensors nor *.bin)")


def _index(folder: Path, end: str) -> Path | None:
    names = (f"{_WHOLE[end]}.index.json", _MODELSLIM) if end == ".safetensors" else (f"{_WHOLE[end]}.index.json",)
    return next((folder / name for name in names if os.path.lexists(folder / name)), None)


def _layout(folder: Path, whole: Path, index: Path | None, stored: list[Path]) -> Layout:
    own = [path for path in stored if not path.match("consolidated*.safetensors")]
    consolidated = tuple(path for path in stored if path not in own) if own else ()
    own = own or stored
    if index is None:
        if whole in own:
            return Layout((whole,), _without(own, [whole]), consolidated)
        return Layout(tuple(own), consolidated=consolidated, findings=(*_incomplete(own), *_unfound(own, whole)))
    places = _places(folder, index)
    listed = sorted(folder / name for name in set(places.values()))
    # vLLM knows the index of safetensors by one name.
    engine = listed if index.name == "model.safetensors.index.json" else own
    if whole not in own or listed == [whole]:
        return Layout(tuple(listed), _without(engine, listed), consolidated, index, places)
    findings = [_two_models(whole, index)] if whole not in engine else []
    return Layout(
        (whole,), _without(engine, [whole]) if whole in engine else (), consolidated, findings=tuple(findings)
    )


def _without(files: list[Path], others: list[Path]) -> tuple[Path, ...]:
    return tuple(path for path in files if path not in others)


def _places(folder: Path, index: Path) -> dict[str, str]:
    content: dict[str, Any] = read_json(index, "it lists the shards")
    try:
        places = _Index.model_validate(content).weight_map
    except ValidationError as error:
        raise CheckpointError(
            f"{index}: its weight_map is not a file's name for each tensor's: download it again"
        ) from error
    if not places:
        raise CheckpointError(f"{index}: its weight_map is empty, so that it lists no tensors: download it again")
    shards = sorted(set(places.values()))
    if odd := [name for name in shards if not name or name != Path(name).name]:
        raise CheckpointError(
            f"{index}: names {shown(repr(odd[0]))}, expected the name of a file beside it: not a model's index"
        )
    if missing := [name for name in shards if not (folder / name).exists()]:
        raise CheckpointError(
            f"{folder / shown(missing[0])}: missing; {index.name} lists {len(shards)} shards, "
            f"{len(missing)} are not here: download the model again"
        )
    return places


def _incomplete(files: list[Path]) -> list[Finding]:
    """Shards that must have been, by the names of those that are there."""
    there = {path.name for path in files}
    series = {found.group("stem", "count", "end") for name in there if (found := _SHARD.fullmatch(name))}
    for stem, count, end in sorted(series):
        wanted = (f"{stem}-{number:0{len(count)}d}-of-{count}{end}" for number in range(1, int(count) + 1))
        if missing := [name for name in wanted if name not in there]:
            message = f"missing, by the name of {_first(there, stem)}: download the model again"
            return [Finding("error", some(missing), message)]
    return []


def _unfound(files: list[Path], whole: Path) -> list[Finding]:
    # What quantises for an NPU alone writes names of its own, and transformers need not read it.
    if any(path.name.startswith("quant") for path in files):
        return []
    message = (
        f"transformers finds no weights here, only vLLM does: rename it to {whole.name}, or download "
        f"{whole.name}.index.json, if transformers is to read it"
    )
    return [Finding("warning", some([path.name for path in files]), message)]


def _first(names: set[str], stem: str) -> str:
    return min(name for name in names if name.startswith(f"{stem}-"))


def _two_models(whole: Path, index: Path) -> Finding:
    message = (
        f"transformers reads it alone, vLLM the files that {index.name} lists: move {whole.name} or the index with its "
        "files out of the folder"
    )
    return Finding("error", whole.name, message)
