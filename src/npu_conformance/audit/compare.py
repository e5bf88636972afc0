"""How far a candidate's parameter is from the published one, and whether rounding explains it."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

from npu_conformance.audit.weights import Floats, Weights, spans

RMS_UNITS = 2
"""Relative rms error allowed, in units roundoff u. Rounding once costs at most u in any element and 0.42 u in the
mean square (0.17 % in bfloat16); twice, as where a scale is rounded before it is multiplied, at most 2 u."""
ELEMENT_UNITS = 4
"""Relative error allowed in one element, in units roundoff: twice what two roundings can cost. It is relative to
the element itself, so that nothing is too small or too lonely to be seen: not one block, not one element."""


@dataclass(frozen=True)
class Precision:
    """What a dtype can hold."""

    unit: float
    """Unit roundoff: the largest relative error of rounding to nearest."""
    step: float
    """Spacing of the numbers next to zero, where errors are no longer relative."""

    def off(self, found: Floats, expected: Floats) -> NDArray[np.bool_]:
        """Where rounding does not explain a difference; NaN and infinities are never explained."""
        limit = np.abs(expected, dtype=np.float64) * (ELEMENT_UNITS * self.unit) + self.step
        with np.errstate(invalid="ignore"):
            return np.asarray(~(np.abs(found.astype(np.float64) - expected) <= limit))

    def round(self, values: Floats) -> Floats:
        """Values rounded once, to the nearest and ties to even."""
        if self.unit == FLOAT32.unit:
            return values
        if self.unit == FLOAT16.unit:
            with np.errstate(over="ignore"):
                return values.astype(np.float16).astype(np.float32)
        bits = values.view(np.uint32)
        rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
        return np.where(np.isnan(values), values, rounded.view(np.float32))


FLOAT32 = Precision(2.0**-24, 2.0**-149)
FLOAT16 = Precision(2.0**-11, 2.0**-24)
BFLOAT16 = Precision(2.0**-8, 2.0**-133)
PRECISIONS = {"F32": FLOAT32, "F16": FLOAT16, "BF16": BFLOAT16}


@dataclass(frozen=True)
class Element:
    """One element that rounding does not explain."""

    at: tuple[int, int]
    """Row and column."""
    found: float
    expected: float
    error: float


@dataclass
class Comparison:
    """Sums over one parameter's elements."""

    elements: int = 0
    squared_error: float = 0.0
    squared_published: float = 0.0
    absolute_error: float = 0.0
    max_abs: float = 0.0
    exact: bool = True
    """Whether every element is the published one rounded once, to the bit."""
    off: int = 0
    """Elements that rounding does not explain."""
    squared_error_within: float = 0.0
    """Of the elements that are not off."""
    worst: Element | None = None
    """The one that is off by most."""

    @property
    def relative_rms(self) -> float:
        """‖candidate - published‖ / ‖published‖."""
        return relative(self.squared_error, self.squared_published)

    def wrong_everywhere(self, precision: Precision) -> bool:
        """Whether the elements that are not off are wrong all the same, in the mean square."""
        return relative(self.squared_error_within, self.squared_published) > RMS_UNITS * precision.unit


def relative(squared_error: float, squared_published: float) -> float:
    """Relative error of sums of squares; 0 where all is zero, infinite where only the published values are zero."""
    if squared_published == 0:
        return inf if squared_error else 0.0
    return sqrt(squared_error / squared_published)


def pieces(published: Weights, candidate: Weights) -> Iterator[tuple[int, Floats, Floats]]:
    """Both parameters, a few rows at a time: first row, published rows, candidate's rows."""
    for start, stop in spans(published.shape):
        yield start, published.rows(start, stop), candidate.rows(start, stop)


def compare(published: Weights, candidate: Weights, precision: Precision) -> Comparison:
    """Compare two parameters of one shape.

    Args:
        published: the independent reading.
        candidate: what is to be served.
        precision: of the candidate's dtype.
    """
    result = Comparison()
    for start, expected, found in pieces(published, candidate):
        with np.errstate(invalid="ignore"):
            error = np.abs(found.astype(np.float64) - expected)
        result.elements += error.size
        result.squared_error += float(np.square(error).sum())
        result.squared_published += float(np.square(expected, dtype=np.float64).sum())
        result.absolute_error += float(error.sum())
        rounded = precision.round(expected)
        result.exact &= np.array_equal(found.view(np.uint32), rounded.view(np.uint32))
        result.max_abs = float(np.maximum(result.max_abs, error.max(initial=0)))
        off = precision.off(found, expected)
        result.squared_error_within += float(np.square(error[~off]).sum())
        if off.any():
            result.off += int(off.sum())
            _keep_worst(result, start, expected, found, np.where(off, np.nan_to_num(error, nan=inf), -1))
    return result


def _keep_worst(result: Comparison, start: int, expected: Floats, found: Floats, error: NDArray[np.float64]) -> None:
    row, column = divmod(int(error.argmax()), error.shape[1])
    if result.worst is None or error[row, column] > result.worst.error:
        result.worst = Element(
            (start + row, column), float(found[row, column]), float(expected[row, column]), float(error[row, column])
        )
