"""Metrics of candidate logits against reference logits: pure functions, one value a position.

Arguments are float arrays [positions, vocabulary] of equal shape, raw logits before any softmax; results are
float64 [positions] unless said otherwise. Work is done in float64: a float32 sum over 150,000 words would
add noise of the size that is measured. NaN or infinite logits give NaN, never a number that passes.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

METRICS_VERSION = 1
"""Raised whenever a metric's value could change for the same logits; saved with the figures of every variant."""

Values = NDArray[np.float64]


def _pair(candidate: ArrayLike, reference: ArrayLike) -> tuple[Values, Values]:
    left, right = np.asarray(candidate, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 2 or left.shape[1] == 0:
        raise ValueError(
            f"logits of candidate {left.shape} and reference {right.shape}: need equal [positions, vocabulary]"
        )
    return left, right


def finite(logits: ArrayLike) -> NDArray[np.bool_]:
    """Whether all logits of a position are finite."""
    return np.asarray(np.isfinite(np.asarray(logits)).all(axis=-1))


def cosine(candidate: ArrayLike, reference: ArrayLike) -> Values:
    """Cosine similarity, Σcr / (‖c‖‖r‖), in [-1, 1]; NaN where either row is all zero."""
    left, right = _pair(candidate, reference)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        return np.asarray(np.einsum("pv,pv->p", left, right) / scale)


def pearson(candidate: ArrayLike, reference: ArrayLike) -> Values:
    """Pearson correlation over the vocabulary: the cosine of the centred rows."""
    left, right = _pair(candidate, reference)
    with np.errstate(invalid="ignore"):
        return cosine(left - left.mean(axis=1, keepdims=True), right - right.mean(axis=1, keepdims=True))


def relative_l2(candidate: ArrayLike, reference: ArrayLike) -> Values:
    """Relative L2 error, ‖c - r‖ / ‖r‖."""
    left, right = _pair(candidate, reference)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.linalg.norm(left - right, axis=1) / np.linalg.norm(right, axis=1))


def kl_divergence(candidate: ArrayLike, reference: ArrayLike) -> Values:
    """KL(reference ‖ candidate) = Σ p_r (log p_r - log p_c) of the softmax distributions, in nats.

    Source: Kullback and Leibler, On Information and Sufficiency (1951). Never negative: rounding of the sum
    may give -1e-16, which is returned as 0.
    """
    left, right = _pair(candidate, reference)
    log_c, log_r = log_softmax(left), log_softmax(right)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.maximum(np.einsum("pv,pv->p", np.exp(log_r), log_r - log_c), 0.0))


def log_softmax(logits: ArrayLike) -> Values:
    """Natural logarithms of the softmax probabilities [positions, vocabulary]."""
    rows = np.asarray(logits, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        shifted = rows - rows.max(axis=1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def max_abs_diff(candidate: ArrayLike, reference: ArrayLike) -> Values:
    """Largest absolute difference of two logits of a position."""
    left, right = _pair(candidate, reference)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(left - right).max(axis=1))


def mean_abs_diff(candidate: ArrayLike, reference: ArrayLike) -> Values:
    """Mean absolute difference of the logits of a position."""
    left, right = _pair(candidate, reference)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(left - right).mean(axis=1))


def top_k_overlap(candidate: ArrayLike, reference: ArrayLike, k: int = 5) -> Values:
    """Share of the reference's k largest logits' words that are among the candidate's k largest, 0 to 1.

    A position with a NaN has no order and gives NaN. With fewer than k words, all of them are compared.
    """
    left, right = _pair(candidate, reference)
    k = min(k, left.shape[1])
    top_l = np.argpartition(left, -k, axis=1)[:, -k:]
    top_r = np.argpartition(right, -k, axis=1)[:, -k:]
    shared = (top_l[:, :, None] == top_r[:, None, :]).any(axis=2).mean(axis=1)
    unordered = np.isnan(left).any(axis=1) | np.isnan(right).any(axis=1)
    return np.where(unordered, np.nan, shared)


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
