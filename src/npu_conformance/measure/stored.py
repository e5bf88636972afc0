"""What was measured, kept as a file: arrays by name, with a description. It depends on the version of the metrics."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from npu_conformance.errors import TraceError
from npu_conformance.measure.columns import METRICS
from npu_conformance.measure.metrics import METRICS_VERSION
from npu_conformance.traces.reading import read_arrays, unreadable

_ABOUT = "about"
_DESCRIPTION: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


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
    arrays = read_arrays(path)
    try:
        about = _DESCRIPTION.validate_json(str(arrays.pop(_ABOUT)))
    except (ValueError, KeyError) as error:
        raise unreadable(path, error) from error
    if (version := about.get("metrics_version")) != METRICS_VERSION:
        raise TraceError(
            f"{path}: was measured by version {version} of the metrics, this is version {METRICS_VERSION}; "
            "run the model again"
        )
    if (there := about.get("metrics")) != list(METRICS):
        raise TraceError(f"{path}: has the metrics {there}, this version has {list(METRICS)}; run the model again")
    return about, arrays


def require_positions(path: Path, arrays: Mapping[str, NDArray[Any]], names: Collection[str], positions: int) -> None:
    """Refuse a file without an array, or with one that has not one row a position.

    Args:
        path: of the file, for the message.
        arrays: that it holds.
        names: of those it must hold.
        positions: how many.

    Raises:
        TraceError: one is missing, or longer or shorter.
    """
    for name in names:
        there = len(arrays[name]) if name in arrays and arrays[name].ndim else None
        if there != positions:
            raise TraceError(
                f"{path}: {name}: {'is missing' if there is None else f'has {there} rows'}, expected {positions}; run "
                "the model again"
            )
