"""Margins of routers, as they are kept beside a reference's rows."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from npu_conformance.errors import TraceError
from npu_conformance.traces.reading import read_array

_ROUTER = "router.npy"


def save_router(folder: Path, margins: NDArray[np.float32]) -> None:
    """Write margins [positions of all prompts, layers] into a trace folder that is being staged."""
    np.save(folder / _ROUTER, margins, allow_pickle=False)


def load_router(folder: Path, positions: int) -> NDArray[np.float32] | None:
    """Margins of a trace's positions [positions, layers]; None for a dense model, or where they were not kept.

    Raises:
        TraceError: they cannot be read, or are of other positions.
    """
    path = folder / _ROUTER
    if not path.is_file():
        return None
    found = read_array(path)
    if found.dtype != np.float32 or found.ndim != 2 or len(found) != positions:
        raise TraceError(
            f"{path}: is {found.dtype} of shape {found.shape}, expected float32 with {positions} rows; run the model "
            "again"
        )
    return found
