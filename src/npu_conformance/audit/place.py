"""Where in a parameter the elements lie that are wrong."""

import numpy as np
from numpy.typing import NDArray

from npu_conformance.audit.compare import pieces
from npu_conformance.audit.formats.fp8 import Fp8
from npu_conformance.audit.mistakes import Case
from npu_conformance.audit.weights import grid

_SHOWN = 3


def place(case: Case) -> str:
    """The place as the end of a sentence: scale blocks of FP8, else rows and columns; nothing where it is all."""
    rows, columns = grid(case.published.shape)
    in_row, in_column = np.zeros(rows, dtype=bool), np.zeros(columns, dtype=bool)
    blocks: set[tuple[int, int]] = set()
    for start, expected, found in pieces(case.published, case.candidate):
        wrong = case.concerned(found, expected)
        in_row[start : start + len(wrong)] = wrong.any(axis=1)
        in_column |= wrong.any(axis=0)
        if isinstance(case.published, Fp8):
            blocks |= _blocks(case.published.block, start, wrong)
    if isinstance(case.published, Fp8):
        total = case.published.scale.size
        first = ", ".join(str(list(block)) for block in sorted(blocks)[:_SHOWN])
        return "" if len(blocks) == total else f" in {len(blocks)} of {total} scale blocks (first {first})"
    parts = [part for part in (_range("row", in_row), _range("column", in_column)) if part]
    return f" in {', '.join(parts)}" if parts else ""


def _blocks(block: tuple[int, int], start: int, wrong: NDArray[np.bool_]) -> set[tuple[int, int]]:
    """Row and column of the scale blocks that hold wrong elements."""
    height, width = block
    hit = np.logical_or.reduceat(wrong, np.arange(0, wrong.shape[1], width), axis=1)
    return {((start + row) // height, column) for row, column in np.argwhere(hit).tolist()}


def _range(what: str, wrong: NDArray[np.bool_]) -> str:
    """From the first to the last that is wrong; nothing where that is all of them."""
    hits = np.flatnonzero(wrong)
    first, last = int(hits[0]), int(hits[-1])
    if last - first + 1 == len(wrong):
        return ""
    return f"{what} {first}" if first == last else f"{what}s {first} to {last}"
