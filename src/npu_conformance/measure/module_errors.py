"""How far a candidate's attentions and MLPs are from the reference's, each computed from what the candidate gave it.

Floor runs are the reference's modules in the candidate's dtype, given the same: what is left is one module's rounding.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.errors import TraceError
from npu_conformance.machine.storage import staged_file
from npu_conformance.measure.deviations import EQUAL
from npu_conformance.traces.reading import read_arrays

MODULE_ERRORS = "module_errors.npz"
"""File beside a candidate and its reference."""
_VERSION = 1
Values = NDArray[np.float64]


@dataclass(frozen=True)
class ModuleErrors:
    """Of some sequences, at the rows that are judged of each."""

    points: tuple[str, ...]
    """`model.layers.0.self_attn`, `model.layers.0.mlp` …, in the order they are passed."""
    prompts: tuple[str, ...]
    """Ids."""
    candidate: Values
    """Logarithm of the relative L2 error [prompts, rows, points]."""
    along: Values
    """Signed error along what the reference gives, as a share of it [prompts, rows, points]."""
    floor: Values
    """Logarithm of the floor runs' relative L2 error [floor runs, prompts, rows, points]."""

    def choose(self, prompts: list[int]) -> "ModuleErrors":
        """Those of some prompts, by place."""
        names = tuple(self.prompts[place] for place in prompts)
        return ModuleErrors(self.points, names, self.candidate[prompts], self.along[prompts], self.floor[:, prompts])


def module_error(mine: Values, exact: Values) -> tuple[Values, Values]:
    """Error and its part along the exact rows.

    Args:
        mine: [rows, hidden].
        exact: of the reference.

    Returns:
        Logarithm of the relative L2 error [rows], and the signed share [rows]; NaN where the exact row is zero.
    """
    error = mine.astype(np.float64) - exact
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.linalg.norm(exact, axis=-1)
        relative = np.log(np.linalg.norm(error, axis=-1) / size)
        return np.maximum(relative, EQUAL), (error * exact).sum(axis=-1) / size**2


def save_module_errors(path: Path, errors: ModuleErrors) -> None:
    """Write them."""
    named: dict[str, Any] = {name: getattr(errors, name) for name in ("candidate", "along", "floor")}
    with staged_file(path) as file:
        np.savez(
            file,
            version=np.array(_VERSION),
            points=np.array(errors.points),
            prompts=np.array(errors.prompts),
            **named,
        )


def load_module_errors(path: Path) -> ModuleErrors | None:
    """Read them; None where there are none.

    Raises:
        TraceError: they cannot be read, or another version wrote them.
    """
    if not path.is_file():
        return None
    arrays = read_arrays(path)
    if (version := int(arrays.get("version", np.array(0)))) != _VERSION:
        raise TraceError(f"{path}: has version {version}, this version reads {_VERSION}; run the model again")
    try:
        points, prompts = (tuple(map(str, arrays[name].tolist())) for name in ("points", "prompts"))
        candidate, along, floor = (arrays[name] for name in ("candidate", "along", "floor"))
    except (KeyError, TypeError) as error:
        raise TraceError(f"{path}: {error} is missing; run the model again") from error
    rows = (len(prompts), *candidate.shape[1:2], len(points))
    if not (candidate.shape == along.shape == rows and floor.ndim == 4 and floor.shape[1:] == rows):
        raise TraceError(f"{path}: its arrays are not of the same points, prompts and rows; run the model again")
    return ModuleErrors(points, prompts, candidate, along, floor)
