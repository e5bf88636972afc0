"""Metrics of logits: pure functions, one value a position.

Arguments are float arrays [positions, vocabulary], raw logits before any softmax; results are float64 [positions]
unless said otherwise. NaN or infinite logits give NaN, never a number that passes.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npu_conformance.machine.devices import host_cores
from npu_conformance.measure import kernel
from npu_conformance.measure.kernel import Measured

METRICS_VERSION = 3
"""Raised whenever a metric's value could change for the same logits by more than rounding; saved with the figures of
every variant."""

# Words from which rows are worth threads.
_WIDE = 16384

Values = NDArray[np.float64]


def measured(candidate: ArrayLike, reference: ArrayLike) -> Measured:
    """Every metric of each pair of rows [positions, vocabulary].

    Raises:
        ValueError: they are not of one shape.
    """
    mine, theirs = np.asarray(candidate), np.asarray(reference)
    if mine.shape != theirs.shape or mine.ndim != 2 or mine.shape[1] == 0:
        raise ValueError(
            f"logits of candidate {mine.shape} and reference {theirs.shape}: need equal [positions, vocabulary]"
        )
    together = kernel.rows_together(mine.shape[1])
    groups = [slice(start, start + together) for start in range(0, max(len(mine), 1), together)]
    threads = min(len(groups), host_cores()) if mine.shape[1] >= _WIDE else 1
    if threads <= 1:
        return _joined(kernel.measure(mine[group], theirs[group]) for group in groups)
    with ThreadPoolExecutor(threads) as pool:
        return _joined(pool.map(lambda group: kernel.measure(mine[group], theirs[group]), groups))


def _joined(found: Iterable[Measured]) -> Measured:
    return Measured(*map(np.concatenate, zip(*found, strict=True)))


def finite(logits: ArrayLike) -> NDArray[np.bool_]:
    """Whether all logits of a position are finite."""
    return np.asarray(np.isfinite(np.asarray(logits)).all(axis=-1))


def cosine(candidate: ArrayLike, reference: ArrayLike) -> Values:
    """See `Measured.cosine`."""
    return measured(candidate, reference).cosine


def relative_l2(candidate: ArrayLike, reference: ArrayLike) -> Values:
    """See `Measured.relative_l2`."""
    return measured(candidate, reference).relative_l2


def log_softmax(logits: ArrayLike) -> Values:
    """Natural logarithms of the softmax probabilities [positions, vocabulary]."""
    rows = np.asarray(logits, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        shifted = rows - rows.max(axis=1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def root_mean_square(logits: ArrayLike) -> Values:
    """Root mean square of a position's logits: the size that a relative error is relative to."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(np.sqrt(np.square(np.asarray(logits, dtype=np.float64)).mean(axis=1)))


def choice(logits: ArrayLike) -> NDArray[np.int64]:
    """The greedy token of each position, -1 where a NaN leaves none. Of equal logits the first wins."""
    rows = np.asarray(logits)
    return np.where(np.isnan(rows).any(axis=1), -1, rows.argmax(axis=1)).astype(np.int64)


def tied(margin: ArrayLike, rms: ArrayLike, width: ArrayLike) -> NDArray[np.bool_]:
    """Whether two tokens are so near that rounding may exchange them.

    Both sides must have them that near: else another token would be a tie wherever the reference was unsure.

    Args:
        margin: by how much one side prefers its token, in logits.
        rms: root mean square of the reference's logits at the position.
        width: of a tie, in units of that (see `ties`); NaN ties nothing.
    """
    return np.asarray(np.abs(margin) <= np.asarray(width) * np.asarray(rms))
