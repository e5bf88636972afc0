"""Each metric of the one pass as a function of its own: what tests hold against definitions and properties."""

import numpy as np
from numpy.typing import ArrayLike

from npu_conformance.measure.kernel import largest_words
from npu_conformance.measure.metrics import (
    Values,
    choice,
    cosine,
    finite,
    measured,
    relative_l2,
    root_mean_square,
    tied,
)

__all__ = ["Values", "choice", "cosine", "finite", "relative_l2", "root_mean_square", "tied"]


def pearson(candidate: ArrayLike, reference: ArrayLike) -> Values:
    """Of each position."""
    return np.array([one.pearson for one in measured(candidate, reference)])


def kl_divergence(candidate: ArrayLike, reference: ArrayLike) -> Values:
    """Of each position."""
    return np.array([one.kl for one in measured(candidate, reference)])


def max_abs_diff(candidate: ArrayLike, reference: ArrayLike) -> Values:
    """Of each position."""
    return np.array([one.max_abs for one in measured(candidate, reference)])


def mean_abs_diff(candidate: ArrayLike, reference: ArrayLike) -> Values:
    """Of each position."""
    return np.array([one.mean_abs for one in measured(candidate, reference)])


def top_k_overlap(candidate: ArrayLike, reference: ArrayLike, k: int = 5) -> Values:
    """Of each position; of other numbers of words than the pass has, by the same search for them."""
    if k == 5:
        return np.array([one.top5 for one in measured(candidate, reference)])
    pairs = zip(np.asarray(candidate), np.asarray(reference), strict=True)
    return np.array([np.isin(largest_words(c, k), largest_words(r, k)).mean() for c, r in pairs])
