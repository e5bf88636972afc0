"""Headers of safetensors files, and the JSON files of a checkpoint; no weights are loaded."""

import json
import struct
from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.tensor import Tensor
from npu_conformance.errors import CheckpointError


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
        CheckpointError: it is missing, not JSON, or not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: missing; {why}") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found a {type(content).__name__}")
    return content
