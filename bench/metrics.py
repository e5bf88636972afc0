"""The metrics of a position, against one plain pass over the same logits."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench import shape
from bench.timing import Row, race
from npu_conformance.measure import metrics

_POSITIONS = 64
# As `compare` hands them over.
_CHUNK = 8
_METRICS = (
    metrics.cosine,
    metrics.pearson,
    metrics.relative_l2,
    metrics.kl_divergence,
    metrics.max_abs_diff,
    metrics.mean_abs_diff,
    metrics.top_k_overlap,
)
_PASS = "one float64 difference"  # noqa: S105

_Rows = NDArray[np.float32]
_Metric = Callable[[_Rows, _Rows], NDArray[np.float64]]


def measure() -> list[Row]:
    """Race all metrics of every position, and each alone, against an elementwise difference."""
    dice = np.random.default_rng(shape.SEED)
    reference = dice.normal(scale=3.0, size=(_POSITIONS, shape.VOCABULARY)).astype(np.float32)
    candidate = reference + dice.normal(scale=0.02, size=reference.shape).astype(np.float32)
    contenders: dict[str, Callable[[], object]] = {
        _PASS: partial(_apply, (_difference,), candidate, reference),
        "all metrics": partial(_apply, _METRICS, candidate, reference),
        **{metric.__name__: partial(_apply, (metric,), candidate, reference) for metric in _METRICS},
    }
    rows = race("metrics", f"{_POSITIONS} x {shape.VOCABULARY:,} words", contenders, of=_PASS)
    return [replace(row, note=f"{_POSITIONS / row.seconds:,.0f} positions/s") for row in rows]


def _apply(functions: tuple[_Metric, ...], candidate: _Rows, reference: _Rows) -> None:
    for chunk in _chunks():
        for function in functions:
            function(candidate[chunk], reference[chunk])


def _chunks() -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, _POSITIONS, _CHUNK))


def _difference(candidate: _Rows, reference: _Rows) -> NDArray[np.float64]:
    return candidate.astype(np.float64) - reference.astype(np.float64)
