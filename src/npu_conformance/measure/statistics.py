"""Intervals and tests that hold for few prompts whose positions are not independent.

Simulated coverage and size are checked in tests/unit/measure/test_statistics.py; rates are in `rates`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
"""Of every interval."""

Values = NDArray[np.float64]
Interval = tuple[float, float]


class Tested(NamedTuple):
    """A value held against a limit."""

    observed: float
    interval: Interval | None
    """95 %; None where the test has none."""
    p_value: float
    """Chance of this or worse where the truth is at the limit."""


def count_above(count: int, expected: float) -> float:
    """P-value of a count of rare events, where so many are expected: Poisson's distribution."""
    from scipy.special import gammainc

    return float(gammainc(count, expected)) if count else 1.0


def count_reached(expected: float, chance: float) -> int:
    """The largest count with a larger p-value than that."""
    count = 0
    while count_above(count + 1, expected) > chance:
        count += 1
    return count


def mean_interval(values: ArrayLike, lengths: ArrayLike) -> Interval | None:
    """95 % interval of a mean over positions, which scatters from prompt to prompt as a log-normal does.

    Student's t on the values themselves covers too little where they are skewed (86 % at 12 values of a spread of e).

    Args:
        values: mean of each prompt; at least two.
        lengths: positions of each.

    Returns:
        None where a value is not positive.
    """
    sample, sizes = np.asarray(values, dtype=np.float64), np.asarray(lengths, dtype=np.float64)
    if not (sample > 0).all():  # written so that NaN has none
        return None
    half = t_quantile((1 + LEVEL) / 2, len(sample)) * log_mean_error(sample, sizes)
    mean = float((sample * sizes).sum() / sizes.sum())
    with np.errstate(over="ignore"):  # an interval without an end
        return float(mean * np.exp(-half)), float(mean * np.exp(half))


def loss_interval(values: ArrayLike, lengths: ArrayLike) -> Interval | None:
    """95 % interval of a mean loss, such as an error, of which some prompts may have none at all.

    A prompt without a loss has no logarithm, and one with next to none decides the spread of all. Both are given the
    mean, which only makes it larger; the interval ends no lower than Student's t on the values as they are.

    Args:
        values: mean loss of each prompt.
        lengths: positions of each.

    Returns:
        None of fewer than two prompts, whose spread is unknown, and of a NaN.
    """
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) < 2 or not np.isfinite(sample).all():
        return None
    if (sample > 0).all():
        return mean_interval(sample, lengths)
    if not (sample > 0).any():
        return 0.0, 0.0
    sample = np.maximum(sample, 0.0)
    raised, plain = mean_interval(np.maximum(sample, sample.mean()), lengths), mean_above(sample, 0.0).interval
    return (0.0, max(raised[1], plain[1])) if raised and plain else None


def log_mean_error(values: ArrayLike, lengths: ArrayLike) -> float:
    """Standard error of the logarithm of such a mean: the larger of two.

    That of a log-normal, which knows of the skew that few values do not show; and that of a ratio of sums, which sees
    one prompt far off, and errors that grow with the length of the answer.

    Source: Olsson, Confidence intervals for the mean of a log-normal distribution (2005), modified Cox method, with
    Kish's factor for prompts of unequal weight; Cochran, Sampling Techniques (1977), ratio estimates.

    Args:
        values: mean of each prompt, all positive.
        lengths: positions of each.
    """
    sample, sizes = np.asarray(values, dtype=np.float64), np.asarray(lengths, dtype=np.float64)
    shares, n = sizes / sizes.sum(), len(sample)
    variance = float(np.log(sample).var(ddof=1))
    of_normal = n * (shares**2).sum() * (variance / n + variance**2 / (2 * (n - 1)))
    parts = shares * (sample / (shares * sample).sum() - 1)
    of_ratio = n / (n - 1) * (parts**2).sum()
    return float(np.sqrt(max(of_normal, of_ratio)))


def t_quantile(probability: float, n: int) -> float:
    """The quantile of Student's t of the mean of so many values, in standard errors."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, probability))


def mean_above(values: ArrayLike, limit: float) -> Tested:
    """Whether the mean of independent values lies above a limit: Student's t, one-sided; interval two-sided.

    Args:
        values: one a prompt; at least two.
        limit: in the same unit.
    """
    from scipy.special import stdtr

    sample = np.asarray(values, dtype=np.float64)
    n, mean = len(sample), float(sample.mean())
    if np.ptp(sample) == 0:  # no spread to estimate: the value itself decides
        return Tested(mean, (mean, mean), float(mean <= limit))
    error = float(sample.std(ddof=1)) / np.sqrt(n)
    half = t_quantile((1 + LEVEL) / 2, n) * error
    return Tested(mean, (mean - half, mean + half), float(stdtr(n - 1, (limit - mean) / error)))


def mean_beyond(values: ArrayLike, limit: float) -> Tested:
    """Whether the mean of independent values lies beyond a limit on either side of zero."""
    sample = np.asarray(values, dtype=np.float64)
    above, below = mean_above(sample, limit), mean_above(-sample, limit)
    # Not Python's min, which may drop a NaN.
    return above._replace(p_value=float(np.minimum(1.0, 2 * np.minimum(above.p_value, below.p_value))))


def needed_for(values: ArrayLike, distance: float) -> int | None:
    """Values after which the interval of their mean reaches no further than a distance; None where none would do.

    Args:
        values: those there are, whose spread is taken for that of more.
        distance: from the mean to the limit.
    """
    sample = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(distance) and distance > 0):
        return None
    n = len(sample)
    while t_quantile((1 + LEVEL) / 2, n) * sample.std(ddof=1) / np.sqrt(n) > distance:
        n = n + max(1, n // 20)
        if n > 10**6:
            return None
    return n


def settled(tested: Tested, limit: float) -> bool:
    """Whether a test that found nothing says that the limit is kept; else more prompts are needed to tell.

    Args:
        tested: by a test whose p-value is above its share of false alarms.
        limit: it was held against.
    """
    if tested.interval is None:
        return tested.p_value > 1 - LEVEL
    return tested.interval[1] <= limit


def more_often(mine: ArrayLike, theirs: ArrayLike) -> float:
    """P-value of the sign test by prompt: whether mine has more events than theirs in most prompts that differ.

    Source: McNemar's exact test, with prompts for units, because positions of one are not independent.

    Args:
        mine: events by prompt.
        theirs: events of the same prompts.
    """
    from scipy.special import bdtrc

    difference = np.asarray(mine, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    more, fewer = int((difference > 0).sum()), int((difference < 0).sum())
    return 1.0 if more == 0 else float(bdtrc(more - 1, more + fewer, 0.5))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of a family: rejecting those at or below a rate keeps the chance of any false one below it.

    A test that gives no number is rejected: what cannot be judged must not pass.

    Source: Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    values = np.nan_to_num(np.asarray(p_values, dtype=np.float64), nan=0.0)
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(np.argsort(values, kind="stable").tolist()):
        largest = max(largest, min(1.0, (len(values) - rank) * float(values[index])))
        adjusted[index] = largest
    return adjusted
