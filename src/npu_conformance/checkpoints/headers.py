"""Headers of safetensors files, and the JSON files of a checkpoint; no weights are loaded."""

import json
import os
import reprlib
import struct
from collections import Counter
from math import prod
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from npu_conformance.checkpoints.content import open_content
from npu_conformance.checkpoints.tensor import BITS, Tensor
from npu_conformance.errors import CheckpointError

# What the safetensors library takes at most.
_LONGEST_HEADER = 100_000_000
# A tokenizer.json of 256,000 tokens has 35 MB, the index of 100,000 tensors 10.
_LONGEST_JSON = 256_000_000
_Size = Annotated[int, Field(ge=0, lt=1 << 63)]
_AGAIN = "download it again"
# Published ones are nested 10 deep at most. What is read here is walked through by recursion elsewhere.
_DEEPEST = 64


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True)

    dtype: str
    shape: Annotated[list[_Size], Field(max_length=64)]
    data_offsets: Annotated[list[_Size], Field(min_length=2, max_length=2)]


_METADATA = TypeAdapter(dict[str, str])


def read_header(file: Path) -> dict[str, Tensor]:
    """The tensors a safetensors file declares, checked against each other and against the file's length.

    The header is read here rather than by the safetensors library, which maps the file and says only that a
    header is "incomplete" where a person needs to know how many bytes are missing. What that library refuses is
    refused here too.

    Raises:
        CheckpointError: the file is no regular file, a Git LFS pointer, truncated, longer than declared, or not a
            safetensors file; or a tensor's place is not its own, or not of the size of its shape and dtype.
        FileNotFoundError: it is missing.
    """
    with open_content(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        try:
            header, room = _parsed(stream, size)
            entries = {name: _entry(name, entry) for name, entry in header.items()}
        except (struct.error, ValueError, RecursionError) as error:
            raise CheckpointError(f"{file}: not a safetensors file ({error}): {_AGAIN}") from error
    if problem := _misplaced(entries):
        raise CheckpointError(f"{file}: {problem}: {_AGAIN}")
    declared = size - room + max((entry.data_offsets[1] for entry in entries.values()), default=0)
    if size != declared:
        what = "truncated" if size < declared else "longer than its header says"
        raise CheckpointError(f"{file}: {what}: its header declares {declared} bytes, it has {size}: {_AGAIN}")
    return {name: Tensor(tuple(entry.shape), entry.dtype, file) for name, entry in entries.items()}


def _parsed(stream: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """The header, and how many bytes follow it."""
    (length,) = struct.unpack("<Q", stream.read(8))
    if length > min(size, _LONGEST_HEADER):
        allowed = (
            f"at most {_LONGEST_HEADER} are allowed"
            if length > _LONGEST_HEADER and length <= size
            else f"the file has {size}"
        )
        raise ValueError(f"its header would be {length} bytes long, {allowed}")
    header = json.loads(stream.read(length).decode("utf-8"), object_pairs_hook=_unique)
    if not isinstance(header, dict):
        raise ValueError(f"its header is a {type(header).__name__}, expected an object")  # noqa: TRY004
    try:
        _METADATA.validate_python(header.pop("__metadata__", {}), strict=True)
    except ValidationError as error:
        raise ValueError(f"__metadata__: {_first(error)}") from error
    return header, size - 8 - length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{shown(twice)} is there twice")
    return found


def _entry(name: str, content: Any) -> _Entry:
    name.encode()  # a lone surrogate is no text, the library refuses it
    if not isinstance(content, dict):
        raise ValueError(f"{shown(name)}: it is {reprlib.repr(content)}, expected dtype, shape and data_offsets")  # noqa: TRY004
    try:
        return _Entry.model_validate(content)
    except ValidationError as error:
        raise ValueError(f"{shown(name)}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    """The first of several errors: key, what was found, what was expected."""
    found = error.errors(include_url=False)[0]
    key = ".".join(shown(str(part)) for part in found["loc"])
    return f"{key or 'it'} is {reprlib.repr(found['input'])}: {found['msg'][:1].lower()}{found['msg'][1:]}"


def _misplaced(entries: dict[str, _Entry]) -> str | None:
    """The first tensor whose bytes are not as many as its shape says, or do not follow those of the one before."""
    end, before = 0, "the header"
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin, stop = entry.data_offsets
        if entry.dtype not in BITS:
            return f"{shown(name)}: dtype is {reprlib.repr(entry.dtype)}, expected one of {', '.join(BITS)}"
        needed = prod(entry.shape) * BITS[entry.dtype]
        if 8 * (stop - begin) != needed:
            return (
                f"{shown(name)}: bytes {begin} to {stop} are {stop - begin}, but {entry.dtype} {entry.shape} takes "
                f"{-(-needed // 8)}"
            )
        if begin != end:
            what = "they overlap" if begin < end else f"{begin - end} bytes between belong to no tensor"
            return f"{shown(name)}: begins at byte {begin}, {before} ends at byte {end}: {what}"
        end, before = stop, shown(name)
    return None


def shown(name: str, longest: int = 200) -> str:
    """A tensor's name as it can be printed in a line."""
    plain = name if name.isprintable() else ascii(name)
    return plain if len(plain) <= longest else f"{plain[:longest]}…"


def find_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file that a checkpoint may do without; None where there is none, or it holds none."""
    try:
        return read_json(path, "")
    except CheckpointError:
        return None


def read_json(path: Path, why: str) -> dict[str, Any]:
    """A JSON object from a file of a checkpoint.

    Args:
        path: the file.
        why: what the file is needed for, said where it is missing.

    Raises:
        CheckpointError: it is missing, no regular file, a Git LFS pointer, too large, not JSON, or not an object.
    """
    try:
        with open_content(path) as stream:
            text = stream.read(_LONGEST_JSON + 1)
        if len(text) > _LONGEST_JSON:
            raise CheckpointError(f"{path}: has more than {_LONGEST_JSON} bytes: expected a small JSON file")
        content = json.loads(text.decode("utf-8"))
        _refuse_depth(content)
        if b"\\ud" in text.lower():  # half of a character, which no other library's JSON has
            json.dumps(content, ensure_ascii=False).encode()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: missing; {why}") from error
    except (OSError, ValueError, RecursionError) as error:
        told = "nested too deeply" if isinstance(error, RecursionError) else error
        raise CheckpointError(f"{path}: cannot be read as JSON: {told}: download it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found a {type(content).__name__}: download it again")
    return content


def _refuse_depth(content: Any) -> None:
    level = [content] if isinstance(content, dict | list) else []
    for _ in range(_DEEPEST):
        inner = [value for one in level for value in (one.values() if isinstance(one, dict) else one)]
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return
    raise ValueError(f"nested more than {_DEEPEST} deep")


def repeated_keys(path: Path) -> list[str]:
    """Keys that an object of a JSON file has twice; libraries take the last of them.

    Args:
        path: a file that `read_json` reads.
    """
    found: list[str] = []

    def kept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return dict(pairs)

    with open_content(path) as stream:
        json.loads(stream.read().decode("utf-8"), object_pairs_hook=kept)
    return found
