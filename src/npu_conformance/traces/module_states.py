"""What each attention and each MLP of a decoder was given and gave, as files of a trace: one a sequence.

The reference computes each of them again from what it was given, so that no error of an earlier layer is seen in it.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.errors import TraceError
from npu_conformance.traces.reading import read_arrays, unreadable
from npu_conformance.traces.rows import pack, storage_of, unpack

MODULE_STATES = "module_states"
"""Folder of a trace."""
States = NDArray[np.float32]


@dataclass(frozen=True)
class ModuleStates:
    """Of one sequence, by point (see `engines.module_states`); rows are those of its last tokens."""

    ids: tuple[int, ...]
    """The tokens that were fed."""
    given: Mapping[str, States]
    """float32 [rows, hidden]; of attention, which looks back, of every token."""
    gave: Mapping[str, States]
    """float32 [judged rows, hidden]."""


def module_states_file(trace: Path, index: int) -> Path:
    """Where those of a prompt are."""
    return trace / MODULE_STATES / f"{index:04d}.npz"


def save_module_states(trace: Path, index: int, states: ModuleStates) -> None:
    """Write them into a trace folder that is being staged, in the narrowest form that is exact."""
    path = module_states_file(trace, index)
    path.parent.mkdir(exist_ok=True)
    sides = {"given": states.given, "gave": states.gave}
    packed: dict[str, Any] = {
        f"{side}/{point}": pack(rows)[0] for side, found in sides.items() for point, rows in found.items()
    }
    np.savez(path, ids=np.array(states.ids, dtype=np.int64), **packed)


def load_module_states(trace: Path) -> dict[int, ModuleStates]:
    """All of a trace, by index of the prompt; nothing where none were kept.

    Raises:
        TraceError: one cannot be read.
    """
    return {int(path.stem): _load(path) for path in sorted((trace / MODULE_STATES).glob("[0-9]*.npz"))}


def holds_module_states(trace: Path) -> bool:
    """Whether a trace has any."""
    return (trace / MODULE_STATES).is_dir()


def drop_module_states(trace: Path) -> None:
    """Remove them: what was measured of them is all that is asked."""
    shutil.rmtree(trace / MODULE_STATES, ignore_errors=True)


def _load(path: Path) -> ModuleStates:
    arrays = read_arrays(path)
    sides: dict[str, dict[str, States]] = {"given": {}, "gave": {}}
    try:
        ids = tuple(int(one) for one in arrays.pop("ids"))
        for name, stored in arrays.items():
            side, _, point = name.partition("/")
            sides[side][point] = unpack(stored, storage_of(stored))
    except (KeyError, StopIteration, ValueError, TypeError) as error:
        raise unreadable(path, error) from error
    given, gave = sides["given"], sides["gave"]
    fits = all(len(rows) <= len(ids) for rows in (*given.values(), *gave.values()) if rows.ndim)
    if (
        given.keys() != gave.keys()
        or not gave
        or not fits
        or {rows.ndim for rows in (*given.values(), *gave.values())} != {2}
    ):
        raise TraceError(f"{path}: has not rows of the same points given and gave; run the model again")
    return ModuleStates(ids, sides["given"], sides["gave"])
