"""Hidden states layer by layer, as they are kept beside rows or in the cache."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from npu_conformance.errors import TraceError
from npu_conformance.traces.reading import read_arrays

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
        stored = read_arrays(path)
        points, states = stored["points"], stored["states"]
    except (TraceError, KeyError):
        return None
    if points.dtype.kind != "U" or states.dtype != np.float32 or states.ndim != 3 or states.shape[1:2] != points.shape:
        return None
    return Layers(tuple(map(_name, points.tolist())), states)


def _name(point: str) -> str:
    older = _OLDER.fullmatch(point)
    return f"model.layers.{int(older[1]) - 1}" if older else point
