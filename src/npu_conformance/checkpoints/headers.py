"""Headers of weights' files: which tensors there are, of what shape and dtype; no weights are loaded."""

import json
import struct
from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.tensor import Tensor
from npu_conformance.errors import CheckpointError

# In the order in which engines look for them; beside a whole file there may be another, of another library's names.
_PLACES = (
    "model.safetensors.index.json",
    "quant_model_weights.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
)
_PATTERNS = ("*.safetensors", "pytorch_model*.bin")


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint folder by name: of the files its index lists, else of all it has.

    Safetensors files are preferred to `.bin` files, as the engines prefer them.

    Raises:
        CheckpointError: there are no weights, a file is missing or damaged, or the index is not of these files.
    """
    found = next((folder / name for name in _PLACES if (folder / name).is_file()), None)
    if found is not None:
        return _read_indexed(folder, found) if found.suffix == ".json" else _read_file(found)
    for pattern in _PATTERNS:
        if files := sorted(folder.glob(pattern)):
            return {name: tensor for file in files for name, tensor in _read_file(file).items()}
    raise CheckpointError(f"{folder}: no weights here (neither {' nor '.join(_PATTERNS)})")


def _read_indexed(folder: Path, index: Path) -> dict[str, Tensor]:
    places: dict[str, str] = read_json(index, "it lists the shards")["weight_map"]
    if odd := [name for name in places.values() if name != Path(name).name]:
        raise CheckpointError(f"{index}: names {odd[0]!r}, expected the name of a file beside it: not a model's index")
    shards = sorted(set(places.values()))
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder / missing[0]}: missing; {index.name} lists {len(shards)} shards, "
            f"{len(missing)} are not here: download the model again"
        )
    tensors = {name: tensor for shard in shards for name, tensor in _read_file(folder / shard).items()}
    if absent := sorted(set(places) - set(tensors)):
        raise CheckpointError(
            f"{folder / places[absent[0]]}: {absent[0]} is not in it, but {index.name} says so "
            f"({len(absent)} such tensors): shards and index are not of the same model: download it again"
        )
    return tensors


def _read_file(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".bin":
        from npu_conformance.checkpoints.pickled import read_pickled_header

        return read_pickled_header(file)
    return read_header(file)


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
