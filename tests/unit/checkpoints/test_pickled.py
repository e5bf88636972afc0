"""Pickled headers that were damaged or made to do harm: one error, and no room made for what is not there."""

import pickle
import struct
import tempfile
import zipfile
from collections import OrderedDict
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npu_conformance.checkpoints.weight_files import read_tensors
from npu_conformance.errors import CheckpointError


@cache
def saved() -> bytes:
    """The pickle of a state dict as torch saves it."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.bin"
        torch.save(OrderedDict(a=torch.ones(2, 3), b=torch.ones(4).half()), file)
        with zipfile.ZipFile(file) as archive:
            return archive.read("x/data.pkl")


def write(folder: Path, header: bytes) -> Path:
    """A `.bin` file with this pickle."""
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as archive:
        archive.writestr("x/data.pkl", header)
        archive.writestr("x/data/0", bytes(24))
        archive.writestr("x/data/1", bytes(8))
    return folder


# {} under a number of 2 billion in the memo; a bytearray of a tebibyte; a string of as much.
BOMBS = [
    b"\x80\x02}r\xff\xff\xff\x7f.",
    b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
    b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b".",
    pickle.dumps({3: 4}, protocol=2),
    pickle.dumps({}, protocol=2),
]


@pytest.mark.parametrize("header", BOMBS)
def test_a_header_that_asks_for_memory_is_refused(tmp_path: Path, header: bytes) -> None:
    """As one that holds no tensors is."""
    with pytest.raises(CheckpointError, match=r"its header cannot be read|holds no tensors|3 is no tensor's name"):
        read_tensors(write(tmp_path, header))


DAMAGE = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=3)


def message(folder: Path) -> str:
    """Of the error, if there is one."""
    try:
        return " ".join(read_tensors(folder))
    except CheckpointError as error:
        return str(error)


@settings(max_examples=200, deadline=None)
@given(damage=DAMAGE, kept=st.floats(0, 1) | st.just(1.0))
def test_a_damaged_header_is_one_error(damage: list[tuple[float, int]], kept: float) -> None:
    """Or still describes tensors that the archive holds."""
    header = bytearray(saved())
    for place, value in damage:
        header[int(place * len(header))] = value
    with tempfile.TemporaryDirectory() as folder:
        assert "\n" not in message(write(Path(folder), bytes(header[: round(kept * len(header))])))
