"""What was measured comes back with the arrays that it had, and no others."""

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from npu_conformance.measure.stored import read_stored, write_stored


def savez_of_numpy_1(file: BinaryIO, **named: Any) -> None:
    """As it was before 2.1: every keyword is the name of an array."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in named.items():
            with archive.open(f"{name}.npy", "w") as entry:
                np.save(entry, array)


@pytest.mark.parametrize("savez", [np.savez, savez_of_numpy_1])
def test_arrays_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, savez: Any) -> None:
    """By either numpy: this project allows 1.26."""
    monkeypatch.setattr(np, "savez", savez)
    with (tmp_path / "one.npz").open("wb") as file:
        write_stored(file, {"prompts": ["a"]}, {"tokens": np.arange(3)})

    about, arrays = read_stored(tmp_path / "one.npz")
    assert about["prompts"] == ["a"]
    assert {name: array.tolist() for name, array in arrays.items()} == {"tokens": [0, 1, 2]}
