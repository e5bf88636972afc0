"""Hidden states layer by layer, as they are kept beside rows or in the cache."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

LAYERS = "layers.npz"
"""File of a trace folder."""
# What older runs called a layer, counted from 1.
_OLDER = re.compile(r"layer (\d+)")


@dataclass(frozen=True)
class Layers:
    """Hidden states layer by layer at some positions: prompts' last tokens, forced ones, ends of prefixes."""

    points: tuple[str, ...]
    """`embedding`, `model.layers.0` …, `final norm`."""
    states: NDArray[np.float32]
    """float32 [positions, points, hidden size]."""


def save_layers(folder: Path, layers: Layers) -> None:
    """Write hidden states into a trace folder that is being staged."""
    with (folder / LAYERS).open("wb") as file:
        write_layers(file, layers)


def write_layers(file: BinaryIO, layers: Layers) -> None:
    """Write hidden states to an open file."""
    np.savez(file, points=np.array(layers.points), states=layers.states)


def load_layers(path: Path) -> Layers | None:
    """Read hidden states; None where there are none or they cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Layers(tuple(map(_name, stored["points"].tolist())), stored["states"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _name(point: str) -> str:
    older = _OLDER.fullmatch(point)
    return f"model.layers.{int(older[1]) - 1}" if older else point
