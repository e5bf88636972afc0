"""Inspection of a checkpoint folder from its config and safetensors headers; no weights are loaded."""

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from npu_conformance.errors import CheckpointError

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "tiktoken.model",
    "tokenization_config.json",
)
_EMBEDDING_SUFFIXES = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight")


@dataclass(frozen=True)
class Tensor:
    """A tensor as a header declares it."""

    shape: tuple[int, ...]
    dtype: str
    """safetensors' name, such as `BF16`."""
    file: Path

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class Checkpoint:
    """An inspected checkpoint folder."""

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    """By name; empty for a checkpoint that is not in safetensors."""

    @property
    def text_config(self) -> dict[str, Any]:
        """The language model's part of config.json: `text_config` where there is one."""
        nested = self.config.get("text_config")
        return nested if isinstance(nested, dict) else self.config

    @property
    def parameters(self) -> int:
        """Number of stored elements."""
        return sum(tensor.size for tensor in self.tensors.values())

    @property
    def files(self) -> list[Path]:
        """The weights' files."""
        if self.tensors:
            return sorted({tensor.file for tensor in self.tensors.values()})
        return sorted(self.folder.glob("*.bin"))


def inspect(folder: Path) -> Checkpoint:
    """Read a checkpoint's config and headers and hold them against each other.

    Raises:
        CheckpointError: a file is missing, truncated or not what it should be, or config.json and the
            weights disagree.
    """
    config = _read_json(folder / "config.json", "the checkpoint folder needs it")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise CheckpointError(
            f"{folder}: no tokenizer here (looked for {', '.join(TOKENIZER_FILES)}): "
            "copy the tokenizer files of the original model beside the weights"
        )
    try:
        checkpoint = Checkpoint(folder, config, _read_tensors(folder))
        _check_vocabulary(checkpoint)
    except (OSError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder}: its weights cannot be read ({error!r}): download the model again") from error
    return checkpoint


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(_read_json(index, "it lists the shards")["weight_map"].values()))
        missing = [name for name in shards if not (folder / name).is_file()]
        if missing:
            raise CheckpointError(
                f"{folder / missing[0]}: missing; {index.name} lists {len(shards)} shards, "
                f"{len(missing)} are not here: download the model again"
            )
        files = [folder / name for name in shards]
    else:
        files = sorted(folder.glob("*.safetensors"))
    if not files and not any(folder.glob("*.bin")):
        raise CheckpointError(f"{folder}: no weights here (neither *.safetensors nor *.bin)")
    return {name: tensor for file in files for name, tensor in read_header(file).items()}


def read_header(file: Path) -> dict[str, Tensor]:
    """The tensors a safetensors file declares, checked against the file's length.

    The header is read here rather than by the safetensors library, which maps the file and says only that a
    header is "incomplete" where a person needs to know how many bytes are missing.

    Raises:
        CheckpointError: the file is truncated, longer than declared, or not a safetensors file.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > size:
                raise ValueError(f"its header would be {length} bytes long, the file has {size}")  # noqa: TRY301
            header: dict[str, Any] = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        tensors = {name: Tensor(tuple(entry["shape"]), entry["dtype"], file) for name, entry in header.items()}
        end = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{file}: not a safetensors file ({error}): download it again") from error
    if size != end:
        what = "truncated" if size < end else "longer than its header says"
        raise CheckpointError(f"{file}: {what}: its header declares {end} bytes, it has {size}: download it again")
    return tensors


def _check_vocabulary(checkpoint: Checkpoint) -> None:
    declared = checkpoint.text_config.get("vocab_size")
    for name, tensor in checkpoint.tensors.items():
        if name.endswith(_EMBEDDING_SUFFIXES) and declared is not None and tensor.shape[0] != declared:
            raise CheckpointError(
                f"{checkpoint.folder / 'config.json'}: vocab_size is {declared}, but {name} in {tensor.file.name} has "
                f"{tensor.shape[0]} rows: config and weights are not of the same model"
            )


def _read_json(path: Path, why: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: missing; {why}") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found a {type(content).__name__}")
    return content


def weight_bytes(checkpoint: Checkpoint) -> int:
    """Size of the weights' files in bytes."""
    return sum(file.stat().st_size for file in checkpoint.files)
