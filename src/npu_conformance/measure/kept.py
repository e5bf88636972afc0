"""Comparisons as files, beside traces: what is left to judge by where rows are gone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.errors import TraceError
from npu_conformance.machine.storage import staged_file
from npu_conformance.measure.compare import compare
from npu_conformance.measure.comparison import Comparison
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.stored import read_stored, write_stored
from npu_conformance.traces.trace import Trace

COMPARISONS = "comparisons"
"""Folder of a variant's, a file each."""
_LISTS = ("prompts", "bounds", "unrepeated")


def save_comparison(path: Path, comparison: Comparison) -> None:
    """Write a comparison, whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    about = {name: list(getattr(comparison, name)) for name in _LISTS}
    with staged_file(path) as file:
        write_stored(file, about, dict(_arrays(comparison)))


def load_comparison(path: Path) -> Comparison:
    """Read a comparison.

    Raises:
        TraceError: it is not there, damaged, or measured by another version of the metrics.
    """
    about, arrays = read_stored(path)
    try:
        lists: dict[str, Any] = {name: tuple(about[name]) for name in _LISTS}
        found: dict[str, dict[str, Any]] = {"": {}, "values": {}, "deviations": {}}
        for name, array in arrays.items():
            group, _, field = name.rpartition("/")
            found[group][field] = array
        deviations = Deviations(lists["bounds"], **found["deviations"])
        return Comparison(**lists, **found[""], values=found["values"], deviations=deviations)
    except (KeyError, TypeError) as error:
        raise TraceError(f"{path}: is not a comparison: {error!r}; run the model again") from error


def compare_or_load(candidate: Trace, reference: Trace, kept: Path) -> Comparison:
    """Compare two traces by their rows or, where a run kept what it had measured in their place, by that.

    Args:
        candidate: as in `compare`.
        reference: too.
        kept: file of the comparison.

    Raises:
        TraceError: as `compare` and `load_comparison`.
    """
    if candidate.has_rows and reference.has_rows:
        return compare(candidate, reference)
    return load_comparison(kept)


def _arrays(comparison: Comparison) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, value in vars(comparison).items():
        if isinstance(value, np.ndarray):
            yield name, value
    yield from ((f"values/{name}", value) for name, value in comparison.values.items())
    yield from (
        (f"deviations/{name}", value) for name, value in vars(comparison.deviations).items() if name != "bounds"
    )
