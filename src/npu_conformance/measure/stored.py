"""What was measured, kept as a file: arrays by name, with a description. It depends on the version of the metrics."""

import json
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from npu_conformance.errors import TraceError
from npu_conformance.measure.columns import METRICS
from npu_conformance.measure.metrics import METRICS_VERSION

_ABOUT = "about"


def write_stored(file: BinaryIO, about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays with a JSON-able description to an open file."""
    text = json.dumps({**about, "metrics_version": METRICS_VERSION, "metrics": METRICS})
    # Not allow_pickle: before numpy 2.1 it would be one more array.
    named: dict[str, Any] = {_ABOUT: np.array(text), **arrays}
    np.savez(file, **named)


def read_stored(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The description and the arrays of a file.

    Raises:
        TraceError: it cannot be read, or other metrics were measured, or by another version of them.
    """
    try:
        # Opened here: numpy leaves a file open that it cannot read.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files if name != _ABOUT}
            about: dict[str, Any] = json.loads(str(stored[_ABOUT]))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise TraceError(f"{path}: cannot be read: {error}; run the model again") from error
    if (version := about.get("metrics_version")) != METRICS_VERSION:
        raise TraceError(
            f"{path}: was measured by version {version} of the metrics, this is version {METRICS_VERSION}; "
            "run the model again"
        )
    if (there := about.get("metrics")) != list(METRICS):
        raise TraceError(f"{path}: has the metrics {there}, this version has {list(METRICS)}; run the model again")
    return about, arrays
