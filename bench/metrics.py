"""The metrics of a position, against one plain pass over the same logits."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench import shape
from bench.timing import Row, race
from npu_conformance.measure.metrics import measured

_POSITIONS = 64
_PASS = "one float64 difference"  # noqa: S105

_Rows = NDArray[np.float32]


def measure() -> list[Row]:
    """Race all metrics of every position against an elementwise difference."""
    dice = np.random.default_rng(shape.SEED)
    reference = dice.normal(scale=3.0, size=(_POSITIONS, shape.VOCABULARY)).astype(np.float32)
    candidate = reference + dice.normal(scale=0.02, size=reference.shape).astype(np.float32)
    contenders: dict[str, Callable[[], object]] = {
        _PASS: partial(_differences, candidate, reference),
        "all metrics": partial(measured, candidate, reference),
    }
    rows = race("metrics", f"{_POSITIONS} x {shape.VOCABULARY:,} words", contenders, of=_PASS)
    return [replace(row, note=f"{_POSITIONS / row.seconds:,.0f} positions/s") for row in rows]


def _differences(candidate: _Rows, reference: _Rows) -> None:
    for mine, theirs in zip(candidate, reference, strict=True):
        np.subtract(mine, theirs, dtype=np.float64)
