"""Comparisons as files, beside traces: what is left to judge by where rows are gone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeInt, ValidationError, model_validator

from npu_conformance.errors import TraceError
from npu_conformance.machine.storage import staged_file
from npu_conformance.measure.compare import compare
from npu_conformance.measure.comparison import Comparison
from npu_conformance.measure.deviations import Deviations, sets_of
from npu_conformance.measure.stored import read_stored, require_positions, write_stored
from npu_conformance.traces.reading import first_problem
from npu_conformance.traces.trace import Trace

COMPARISONS = "comparisons"
"""Folder of a variant's, a file each."""


class _Lists(BaseModel):
    """What is described of a comparison beside its arrays."""

    prompts: tuple[str, ...]
    bounds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=2)]
    unrepeated: tuple[NonNegativeInt, ...]

    @model_validator(mode="after")
    def _add_up(self) -> "_Lists":
        if {len(self.prompts), len(self.unrepeated)} != {len(self.bounds) - 1}:
            raise ValueError(
                f"{len(self.prompts)} prompts, {len(self.bounds)} bounds, {len(self.unrepeated)} unrepeated"
            )
        if list(self.bounds) != sorted(self.bounds) or self.bounds[0]:
            raise ValueError("bounds do not rise from 0")
        return self


def save_comparison(path: Path, comparison: Comparison) -> None:
    """Write a comparison, whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    about = {name: list(getattr(comparison, name)) for name in _Lists.model_fields}
    with staged_file(path) as file:
        write_stored(file, about, dict(_arrays(comparison)))


def load_comparison(path: Path) -> Comparison:
    """Read a comparison.

    Raises:
        TraceError: it is not there, damaged, or measured by another version of the metrics.
    """
    about, arrays = read_stored(path)
    found: dict[str, dict[str, Any]] = {"": {}, "values": {}, "deviations": {}}
    try:
        lists = _Lists.model_validate(about)
        require_positions(path, arrays, arrays, lists.bounds[-1])
        for name, array in arrays.items():
            group, _, field = name.rpartition("/")
            found[group][field] = array
        deviations = Deviations(lists.bounds, **found["deviations"], sets=sets_of(lists.prompts))
        return Comparison(**dict(lists), **found[""], values=found["values"], deviations=deviations)
    except (KeyError, TypeError, ValueError) as error:
        told = first_problem(error) if isinstance(error, ValidationError) else repr(error)
        raise TraceError(f"{path}: is not a comparison: {told}; run the model again") from error


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
    found = load_comparison(kept)
    expected = [(answer.prompt, candidate.judged(index)) for index, answer in enumerate(candidate.answers)]
    if list(zip(found.prompts, np.diff(found.bounds).tolist(), strict=True)) != expected:
        raise TraceError(f"{kept}: is not of the same prompts and tokens as {candidate.folder}; run the model again")
    return found


def _arrays(comparison: Comparison) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, value in vars(comparison).items():
        if isinstance(value, np.ndarray):
            yield name, value
    yield from ((f"values/{name}", value) for name, value in comparison.values.items())
    yield from ((f"deviations/{name}", value) for name, value in comparison.deviations.columns.items())
