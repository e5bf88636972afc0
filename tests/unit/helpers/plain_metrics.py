"""Every metric by its definition, in plain Python and for one position: what the metrics are held against."""

import math
from collections.abc import Callable, Sequence

from numpy.typing import ArrayLike

from tests.unit.helpers import row_metrics as metrics

Metric = Callable[[ArrayLike, ArrayLike], metrics.Values]


def plain_dot(a: Sequence[float], b: Sequence[float]) -> float:
    """Summed without rounding in between."""
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def plain_cosine(c: Sequence[float], r: Sequence[float]) -> float:
    """By its definition; NaN where a row has no direction."""
    scale = math.sqrt(plain_dot(c, c)) * math.sqrt(plain_dot(r, r))
    return plain_dot(c, r) / scale if scale else math.nan


def plain_pearson(c: Sequence[float], r: Sequence[float]) -> float:
    """Covariance over both deviations."""
    c_mean, r_mean = (math.fsum(row) / len(row) for row in (c, r))
    return plain_cosine([x - c_mean for x in c], [y - r_mean for y in r])


def plain_relative_l2(c: Sequence[float], r: Sequence[float]) -> float:
    """A distance over a length; without a length, no distance is relative to it."""
    difference = [x - y for x, y in zip(c, r, strict=True)]
    distance, length = math.sqrt(plain_dot(difference, difference)), math.sqrt(plain_dot(r, r))
    return distance / length if length else math.inf if distance else math.nan


def plain_probabilities(row: Sequence[float]) -> list[float]:
    """Softmax."""
    terms = [math.exp(x - max(row)) for x in row]
    return [term / math.fsum(terms) for term in terms]


def plain_kl(c: Sequence[float], r: Sequence[float]) -> float:
    """From log-probabilities: those of probabilities would be of zero."""
    c_sum, r_sum = (max(row) + math.log(math.fsum(math.exp(x - max(row)) for x in row)) for row in (c, r))
    terms = zip(plain_probabilities(r), c, r, strict=True)
    return math.fsum(p * ((y - r_sum) - (x - c_sum)) for p, x, y in terms)


def plain_max_abs(c: Sequence[float], r: Sequence[float]) -> float:
    """The largest."""
    return max(abs(x - y) for x, y in zip(c, r, strict=True))


def plain_mean_abs(c: Sequence[float], r: Sequence[float]) -> float:
    """The mean."""
    return math.fsum(abs(x - y) for x, y in zip(c, r, strict=True)) / len(r)


def plain_top_5(c: Sequence[float], r: Sequence[float]) -> float:
    """Words among the five largest of both."""
    best = [set(sorted(range(len(row)), key=row.__getitem__)[-5:]) for row in (c, r)]
    return len(best[0] & best[1]) / 5


PLAIN: dict[Metric, Callable[[Sequence[float], Sequence[float]], float]] = {
    metrics.cosine: plain_cosine,
    metrics.pearson: plain_pearson,
    metrics.relative_l2: plain_relative_l2,
    metrics.kl_divergence: plain_kl,
    metrics.max_abs_diff: plain_max_abs,
    metrics.mean_abs_diff: plain_mean_abs,
    metrics.top_k_overlap: plain_top_5,
}
