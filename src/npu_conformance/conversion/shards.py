"""Safetensors files written as their tensors come, so that a file may be larger than memory."""

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npu_conformance.machine.storage import staged_file

if TYPE_CHECKING:
    import torch

ITEM_SIZES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes an element has, by safetensors' name of the dtype."""


@dataclass(frozen=True)
class Output:
    """A tensor to be written."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """safetensors' name; one of ITEM_SIZES."""

    @property
    def size(self) -> int:
        """Bytes it takes."""
        return prod(self.shape) * ITEM_SIZES[self.dtype]


def layout(outputs: Iterable[Output], limit: int) -> dict[str, list[Output]]:
    """Which tensors go into which file, in order; a file grows past `limit` bytes only for a single tensor."""
    shards: list[list[Output]] = [[]]
    for output in outputs:
        if shards[-1] and sum(other.size for other in shards[-1]) + output.size > limit:
            shards.append([])
        shards[-1].append(output)
    if len(shards) == 1:
        return {"model.safetensors": shards[0]}
    return {f"model-{number:05d}-of-{len(shards):05d}.safetensors": shard for number, shard in enumerate(shards, 1)}


def index(shards: dict[str, list[Output]]) -> dict[str, Any]:
    """The content of `model.safetensors.index.json`."""
    return {
        "metadata": {"total_size": sum(output.size for shard in shards.values() for output in shard)},
        "weight_map": {output.name: file for file, shard in shards.items() for output in shard},
    }


def write_shard(file: Path, outputs: Sequence[Output], blocks: Callable[[Output], Iterator["torch.Tensor"]]) -> None:
    """Write a safetensors file whole (see `staged_file`), holding no more than a block of it.

    Args:
        file: its place.
        outputs: its tensors.
        blocks: gives a tensor's elements in order, in its dtype, in pieces of any shape.
    """
    import torch

    # Every tensor begins at a multiple of its element's size, as engines that map files want it.
    ordered = sorted(outputs, key=lambda output: -ITEM_SIZES[output.dtype])
    with staged_file(file) as stream:
        stream.write(_header(ordered))
        for output in ordered:
            for block in blocks(output):
                stream.write(memoryview(block.reshape(-1).view(torch.uint8).numpy()))


def _header(outputs: Sequence[Output]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for output in outputs:
        entries[output.name] = {
            "dtype": output.dtype,
            "shape": list(output.shape),
            "data_offsets": [end, end := end + output.size],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
