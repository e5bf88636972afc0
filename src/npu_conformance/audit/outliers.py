"""Numbers far beyond all others of their tensor, as a flipped bit of an exponent or arbitrary bytes leave them."""

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

_SUSPICIOUS = 64
"""Multiple of the mean magnitude below which no element is looked at one by one."""
_GAPS = ((4096, 6), (256, 10), (1, 20))
"""Elements there are at least, and the empty octaves of magnitude then between an outlier and the others: trained
weights fill their octaves up to the greatest. An exponent's highest bit is 16 octaves in float16, 128 in bfloat16."""
_BEYOND = 30
"""Octaves above the median that no number has, also of a norm or a bias."""
_BEYOND_OF_MATRICES = 16
_SHARE = 1000
"""One outlier in so many at most; more are what the tensor is made of."""


def outliers(values: "torch.Tensor", *, matrix: bool) -> NDArray[np.bool_] | None:
    """Which of some elements are far beyond the others; None where none is, or where not all are finite.

    Args:
        values: elements of one tensor, of any shape, in float32 or float64.
        matrix: whether the tensor has more than one axis.
    """
    magnitudes = values.abs()
    peak, mean = float(magnitudes.max()), float(magnitudes.mean())
    if not math.isfinite(peak) or (math.isfinite(mean) and peak <= _SUSPICIOUS * mean):
        return None
    sizes = magnitudes.numpy().reshape(-1)
    octaves = np.frexp(sizes)[1]
    gap = next(one for least, one in _GAPS if sizes.size >= least)
    beyond = _BEYOND_OF_MATRICES if matrix else _BEYOND
    cut = _cut(octaves[sizes > 0], gap, beyond, 1 + sizes.size // _SHARE)
    return None if cut is None else (octaves >= cut) & (sizes > 0)


def _cut(octaves: NDArray[np.int32], gap: int, beyond: int, most: int) -> int | None:
    """The octave from which on elements are outliers."""
    low, middle = int(octaves.min()), int(np.median(octaves))
    counts = np.bincount(octaves - low)
    filled = np.flatnonzero(counts)
    above = np.cumsum(counts[::-1])[::-1]
    cuts = [int(high) for before, high in itertools.pairwise(filled) if high - before > gap]
    cuts += [int(filled[place]) for place in [np.searchsorted(filled, middle - low + beyond)] if place < len(filled)]
    return min((low + cut for cut in cuts if above[cut] <= most), default=None)
