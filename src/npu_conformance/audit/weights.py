"""A parameter's values, made a few rows at a time, so that memory stays near what is stored of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_CHUNK = 1 << 18
"""Elements made at once: what a processor's cache holds of them in float64."""
# What is wrong everywhere is seen in these, at no cost.
_FIRST_ROWS = 8


class Weights(Protocol):
    """One parameter."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the parameter."""

    def rows(self, start: int, stop: int, /) -> Floats:
        """Some rows of the parameter seen as a matrix, float32 [stop - start, columns] (see `grid`)."""


@dataclass(frozen=True)
class Plain:
    """A parameter stored as floating-point numbers."""

    tensor: Any
    """torch.Tensor of float32, float16 or bfloat16, contiguous."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the parameter."""
        return tuple(self.tensor.shape)

    def rows(self, start: int, stop: int) -> Floats:
        """Some rows (see `Weights.rows`)."""
        values: Floats = self.tensor.reshape(grid(self.shape))[start:stop].float().numpy()
        return values


@dataclass(frozen=True)
class Derived:
    """A parameter computed from another one."""

    shape: tuple[int, ...]
    rows: Callable[[int, int], Floats]
    detail: str = ""
    """What was found while deriving it, such as a fitted factor."""


def grid(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a parameter seen as a matrix: its last axis is the columns."""
    return prod(shape[:-1]), prod(shape[-1:])


def spans(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Ranges of rows that together are the whole parameter: a few first, then as many as fit a chunk."""
    rows, columns = grid(shape)
    step = max(1, _CHUNK // max(1, columns))
    start, stop = 0, min(rows, _FIRST_ROWS, step)
    while start < stop:
        yield start, stop
        start, stop = stop, min(rows, stop + step)


def assemble(weights: Weights) -> Floats:
    """The whole parameter, float32, in its own shape."""
    whole = np.empty(grid(weights.shape), dtype=np.float32)
    for start, stop in spans(weights.shape):
        whole[start:stop] = weights.rows(start, stop)
    return whole.reshape(weights.shape)
