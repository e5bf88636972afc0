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
    return measured(candidate, reference).pearson


def kl_divergence(candidate: ArrayLike, reference: ArrayLike) -> Values:
    """Of each position."""
    return measured(candidate, reference).kl


def max_abs_diff(candidate: ArrayLike, reference: ArrayLike) -> Values:
    """Of each position."""
    return measured(candidate, reference).max_abs


def mean_abs_diff(candidate: ArrayLike, reference: ArrayLike) -> Values:
    """Of each position."""
    return measured(candidate, reference).mean_abs


def top_k_overlap(candidate: ArrayLike, reference: ArrayLike, k: int = 5) -> Values:
    """Of each position; of other numbers of words than the pass has, by the same search for them."""
    if k == 5:
        return measured(candidate, reference).top5
    top, other = (largest_words(np.asarray(side), k) for side in (reference, candidate))
    return np.array([np.isin(mine, theirs).mean() for mine, theirs in zip(other, top, strict=True)])
