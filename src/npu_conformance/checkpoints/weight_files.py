"""The weight files of a checkpoint folder: which there must be, and which tensors they hold; no weights are loaded."""

import os
from pathlib import Path

from npu_conformance.checkpoints.headers import read_header, read_json
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
    found = next((folder / name for name in _PLACES if os.path.lexists(folder / name)), None)
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
