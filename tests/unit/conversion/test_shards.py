"""Shards: files that safetensors reads, laid out as engines want them, whatever they hold."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.conversion.shards import ITEM_SIZES, Output, index, layout, write_shard


def test_a_file_is_what_was_given_in_any_pieces(tmp_path: Path) -> None:
    """Every element begins at a multiple of its size, and the file says whose tensors it holds."""
    import torch
    from safetensors.torch import load_file

    tensors: dict[str, Any] = {
        "byte": torch.tensor([1, 2, 3], dtype=torch.uint8),
        "half": torch.randn(3, 5).to(torch.bfloat16),
        "truth": torch.tensor([True, False, True]),
        "single": torch.randn(4, 3).T,
        "nothing": torch.empty(0, 3),
        "scalar": torch.tensor(7),
    }
    dtypes = {"byte": "U8", "half": "BF16", "truth": "BOOL", "single": "F32", "nothing": "F32", "scalar": "I64"}
    outputs = [Output(name, tuple(value.shape), dtypes[name]) for name, value in tensors.items()]

    def blocks(output: Output) -> Iterator[Any]:
        yield from tensors[output.name].reshape(-1).split(2)

    write_shard(tmp_path / "file", outputs, blocks)

    found = load_file(tmp_path / "file")
    assert found.keys() == tensors.keys()
    assert [name for name, value in tensors.items() if not torch.equal(found[name], value)] == []
    content = (tmp_path / "file").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    # Without it older transformers refuse the file.
    assert header.pop("__metadata__") == {"format": "pt"}
    starts = {name: 8 + length + entry["data_offsets"][0] for name, entry in header.items()}
    assert [name for name, start in starts.items() if start % ITEM_SIZES[dtypes[name]]] == []


def test_a_file_that_fails_is_not_there(tmp_path: Path) -> None:
    """Nor anything else of it."""

    def blocks(_: Output) -> Iterator[Any]:
        raise ArithmeticError
        yield

    with pytest.raises(ArithmeticError):
        write_shard(tmp_path / "file", [Output("a", (2,), "F32")], blocks)

    assert not list(tmp_path.iterdir())


def test_shards_are_filled_in_order() -> None:
    """Up to the limit, which only a single tensor may exceed."""
    sizes = {"a": 4, "b": 6, "c": 1, "d": 40, "e": 2}
    outputs = [Output(name, (size,), "U8") for name, size in sizes.items()]

    shards = layout(outputs, 10)

    assert {file: [output.name for output in shard] for file, shard in shards.items()} == {
        "model-00001-of-00004.safetensors": ["a", "b"],
        "model-00002-of-00004.safetensors": ["c"],
        "model-00003-of-00004.safetensors": ["d"],
        "model-00004-of-00004.safetensors": ["e"],
    }
    assert index(shards)["metadata"] == {"total_size": 53}
    assert index(shards)["weight_map"]["d"] == "model-00003-of-00004.safetensors"
    assert list(layout(outputs, 53)) == ["model.safetensors"]
