"""Mistakes that converters make, each as what it would make of the published weights.

Every table maps the words that follow "as if" to a function; a function of a quantised format yields the variants
of its mistake, for a wrong index may wrap around, stop at the edge, or leave zeros.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from npu_conformance.audit.compare import BFLOAT16, FLOAT16, Precision, pieces
from npu_conformance.audit.formats.awq import Awq, packed_order
from npu_conformance.audit.formats.compressed_tensors import Compressed
from npu_conformance.audit.formats.fp8 import Fp8
from npu_conformance.audit.formats.gptq import Gptq, Integers
from npu_conformance.audit.weights import Derived, Floats, Weights, assemble, grid

# A factor fitted to fewer elements than this would explain anything.
_FIT = 8


Scaled = TypeVar("Scaled", Fp8, Compressed)


def _scales_transposed(weights: Scaled) -> Iterator[Scaled]:
    # Where the grid is not square: read column after column, as if it lay in memory that way.
    *matrices, down, across = weights.scale.shape
    yield replace(weights, scale=weights.scale.reshape(*matrices, across, down).swapaxes(-1, -2))


def _scale_missing(weights: Scaled) -> Iterator[Scaled]:
    yield replace(weights, scale=np.ones_like(weights.scale))


def _scale_divided(weights: Scaled) -> Iterator[Scaled]:
    yield replace(weights, scale=np.reciprocal(weights.scale))


def _scale_squared(weights: Scaled) -> Iterator[Scaled]:
    yield replace(weights, scale=weights.scale**2)


def _scale_per_tensor(weights: Scaled) -> Iterator[Scaled]:
    scale = weights.scale
    for one in (scale.flat[0], scale.max(), scale.mean()):
        yield replace(weights, scale=np.full_like(scale, one))


FP8: dict[str, Callable[[Fp8], Iterator[Fp8]]] = {
    "the scale blocks were transposed": _scales_transposed,
    "no scale had been applied": _scale_missing,
    "it had been divided by its scale instead of multiplied": _scale_divided,
    "its scale had been applied twice": _scale_squared,
    "one scale had been taken for the whole tensor": _scale_per_tensor,
}


def _zero_too_low(weights: Gptq) -> Iterator[Gptq]:
    yield replace(weights, zeros=(weights.zeros - 1) % (1 << weights.bits))


def _zero_too_high(weights: Gptq) -> Iterator[Gptq]:
    yield replace(weights, zeros=weights.zeros + 1)
    yield replace(weights, zeros=(weights.zeros + 1) % (1 << weights.bits))


def _signed(weights: Gptq) -> Iterator[Gptq]:
    # Two's complement reads an unsigned code as the code with its highest bit flipped, less that bit's weight.
    high = 1 << (weights.bits - 1)
    yield replace(weights, words=weights.words ^ _highest_bits(weights.bits), zeros=np.full_like(weights.zeros, high))


def _highest_bits(bits: int) -> np.uint32:
    """Of each code in a word."""
    word: np.uint32 = np.uint32(sum(1 << place + bits - 1 for place in range(0, 32, bits)))
    return word


def _zero_missing(weights: Gptq) -> Iterator[Gptq]:
    yield replace(weights, zeros=np.zeros_like(weights.zeros))


def _order_ignored(weights: Gptq) -> Iterator[Gptq]:
    yield replace(weights, groups=np.arange(len(weights.groups)) // weights.group_size)


def _codes_reversed(weights: Gptq) -> Iterator[Gptq]:
    swapped = _nibbles_swapped(weights) if weights.bits == 4 else weights
    yield replace(swapped, words=swapped.words.byteswap())
    if weights.bits == 4:
        yield swapped


def _nibbles_swapped(weights: Gptq) -> Gptq:
    low, four = np.uint32(0x0F0F0F0F), np.uint32(4)
    return replace(weights, words=(weights.words & low) << four | weights.words >> four & low)


def _neighbouring_group(step: int, weights: Gptq) -> Iterator[Gptq]:
    count = len(weights.scales)
    wrapped = (np.arange(count) + step) % count
    stopped = np.clip(np.arange(count) + step, 0, count - 1)
    for groups in (wrapped, stopped):
        yield replace(weights, scales=weights.scales[groups])
        yield replace(weights, scales=weights.scales[groups], zeros=weights.zeros[groups])


def _group_size(size: int | None, weights: Gptq) -> Iterator[Gptq]:
    inputs, count = len(weights.groups), len(weights.scales)
    groups: Integers = np.arange(inputs) // (inputs if size is None else size)
    yield replace(weights, groups=np.minimum(groups, count - 1))
    # Scales that ended too early, in a buffer of zeros.
    none = np.zeros_like(weights.scales[:1])
    ended = replace(
        weights, scales=np.vstack([weights.scales, none]), zeros=np.vstack([weights.zeros, none.astype(int)])
    )
    yield replace(ended, groups=np.minimum(groups, count))


GPTQ: dict[str, Callable[[Gptq], Iterator[Gptq]]] = {
    "the zero point were one too low (checkpoint_format gptq read as gptq_v2)": _zero_too_low,
    "the zero point were one too high (checkpoint_format gptq_v2 read as gptq)": _zero_too_high,
    "its unsigned codes had been read as signed, without a zero point": _signed,
    "no zero point had been subtracted": _zero_missing,
    "g_idx had been ignored": _order_ignored,
    "the codes in a word had been read in reverse order": _codes_reversed,
    "every group had the scales of the next one": partial(_neighbouring_group, 1),
    "every group had the scales of the one before": partial(_neighbouring_group, -1),
    "the group size were -1, one group a row": partial(_group_size, None),
    **{f"the group size were {size}": partial(_group_size, size) for size in (8 << n for n in range(9))},
}


def _zeros_unused(weights: Compressed) -> Iterator[Compressed]:
    yield replace(weights, zeros=np.zeros_like(weights.zeros))


def _order_unused(weights: Compressed) -> Iterator[Compressed]:
    yield replace(weights, groups=np.sort(weights.groups))


def _twos_complement(weights: Compressed) -> Iterator[Compressed]:
    if weights.codes.dtype == np.uint32:
        yield replace(weights, codes=weights.codes ^ _highest_bits(weights.bits))


COMPRESSED: dict[str, Callable[[Compressed], Iterator[Compressed]]] = {
    "no zero point had been subtracted": _zeros_unused,
    "weight_g_idx had been ignored": _order_unused,
    "its packed codes had been read as two's complement": _twos_complement,
    "the scales were transposed": _scales_transposed,
    "no scale had been applied": _scale_missing,
    "it had been divided by its scale instead of multiplied": _scale_divided,
    "its scale had been applied twice": _scale_squared,
    "one scale had been taken for the whole tensor": _scale_per_tensor,
}

AWQ: dict[str, Callable[[Awq], Iterator[Awq]]] = {
    "the columns of a word had been taken in the order they are packed in": packed_order,
}


@dataclass(frozen=True)
class Case:
    """A candidate's parameter that is not the published one."""

    published: Weights
    candidate: Weights
    precision: Precision
    """Of the candidate's dtype."""
    everywhere: bool
    """What is wrong is not only in the elements that are off: all are, though by little."""

    def concerned(self, found: Floats, expected: Floats) -> NDArray[np.bool_]:
        """The elements a mistake has to explain."""
        return np.ones(found.shape, dtype=bool) if self.everywhere else self.precision.off(found, expected)


def _zeros(case: Case) -> Derived:
    columns = grid(case.published.shape)[1]
    return Derived(case.published.shape, lambda start, stop: np.zeros((stop - start, columns), dtype=np.float32))


def _transposed(case: Case) -> Derived | None:
    rows, columns = grid(case.published.shape)
    if rows != columns:
        return None
    whole = assemble(case.published).reshape(rows, columns)
    return Derived(case.published.shape, lambda start, stop: whole.T[start:stop])


def _signs(case: Case) -> Derived:
    return Derived(case.published.shape, lambda start, stop: np.sign(case.published.rows(start, stop)))


def _multiplied(case: Case) -> Derived:
    """The constant is the least-squares fit to what has to be explained."""
    cross = square = 0.0
    for _, expected, found in pieces(case.published, case.candidate):
        concerned = case.concerned(found, expected)
        values = expected[concerned].astype(np.float64)
        cross += float(values @ found[concerned])
        square += float(values @ values)
    factor = cross / square if square else 0.0
    return Derived(
        case.published.shape,
        lambda start, stop: case.published.rows(start, stop) * np.float32(factor),
        detail=f" by {factor:.3g}",
    )


def _rows_multiplied(case: Case) -> Derived | None:
    if grid(case.published.shape)[1] < _FIT:
        return None
    fitted = [_fit(expected, found, axis=1) for _, expected, found in pieces(case.published, case.candidate)]
    factors = np.concatenate([cross / square for cross, square in fitted]).astype(np.float32)[:, None]
    return Derived(case.published.shape, lambda start, stop: case.published.rows(start, stop) * factors[start:stop])


def _columns_multiplied(case: Case) -> Derived | None:
    if grid(case.published.shape)[0] < _FIT:
        return None
    fitted = [_fit(expected, found, axis=0) for _, expected, found in pieces(case.published, case.candidate)]
    cross, square = (np.sum(sums, axis=0) for sums in zip(*fitted, strict=True))
    factors = (cross / square).astype(np.float32)
    return Derived(case.published.shape, lambda start, stop: case.published.rows(start, stop) * factors)


def _fit(expected: Floats, found: Floats, axis: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = expected.astype(np.float64)
    square = np.square(values).sum(axis=axis)
    return (values * found).sum(axis=axis), np.where(square == 0, 1, square)


def _rounded(by: Precision, case: Case) -> Derived:
    return Derived(case.published.shape, lambda start, stop: by.round(case.published.rows(start, stop)))


ANY: dict[str, Callable[[Case], Derived | None]] = {
    "it had been filled with zeros": _zeros,
    "it had been transposed": _transposed,
    "only its signs had been kept and the ternary scale lost": _signs,
    "it had been multiplied": _multiplied,
    "every row had been multiplied by a factor of its own": _rows_multiplied,
    "every column had been multiplied by a factor of its own": _columns_multiplied,
    "it had been rounded to bfloat16 on the way": partial(_rounded, BFLOAT16),
    "it had been rounded to float16 on the way": partial(_rounded, FLOAT16),
}
