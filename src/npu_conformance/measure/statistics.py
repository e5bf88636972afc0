"""Intervals and tests that hold for few prompts whose positions are not independent.

Simulated coverage and size are checked in tests/unit/measure/test_statistics.py.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
"""Of every interval."""
INTRACLASS = 0.05
"""Correlation within a prompt that is assumed of mismatches. Rounding-like noise on the twins' references, up to a
mismatch rate of 3 %, gave estimates between -0.03 and 0.01."""

Values = NDArray[np.float64]
Interval = tuple[float, float]


class Tested(NamedTuple):
    """A value held against a limit."""

    observed: float
    interval: Interval | None
    """95 %; None where the test has none."""
    p_value: float
    """Chance of this or worse where the truth is at the limit."""


def effective_n(lengths: ArrayLike, correlation: float = INTRACLASS) -> float:
    """Independent positions that prompts of these lengths are worth: Σm / (1 + (m̃ - 1)·ρ), m̃ = Σm² / Σm.

    Source: Kish, Survey Sampling (1965), design effect of clusters of unequal size.
    """
    sizes = np.asarray(lengths, dtype=np.float64)
    total = sizes.sum()
    return float(total / (1 + ((sizes**2).sum() / total - 1) * correlation))


def rate_interval(hits: float, n: int, effective: float) -> Interval:
    """Clopper-Pearson interval of a rate on an effective number of positions.

    Source: Korn and Graubard, Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data (1998).
    """
    from scipy.special import betaincinv  # late: collecting needs none of it; scipy.stats takes a second to import

    tail, count = (1 - LEVEL) / 2, hits / n * effective
    low = 0.0 if hits <= 0 else float(betaincinv(count, effective - count + 1, tail))
    high = 1.0 if hits >= n else float(betaincinv(count + 1, effective - count, 1 - tail))
    return low, high


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


def times_needed(hits: float, n: int, effective: float, kept: Callable[[Interval], bool]) -> float | None:
    """How many times as large a sample of this rate must be for its interval to keep a limit; None where none does.

    Args:
        hits: of the sample.
        n: its positions.
        effective: independent positions that it is worth.
        kept: whether an interval keeps the limit.
    """
    for times in (1.05**power for power in range(200)):
        more = round(n * times)
        if kept(rate_interval(hits / n * more, more, effective * times)):
            return times
    return None


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
    """Standard error of the logarithm of such a mean.

    Source: Olsson, Confidence intervals for the mean of a log-normal distribution (2005), modified Cox method, with
    Kish's factor for prompts of unequal weight.

    Args:
        values: mean of each prompt, all positive.
        lengths: positions of each.
    """
    logs, sizes = np.log(np.asarray(values, dtype=np.float64)), np.asarray(lengths, dtype=np.float64)
    n, variance = len(logs), float(logs.var(ddof=1))
    unequal = n * (sizes**2).sum() / sizes.sum() ** 2
    return float(np.sqrt(unequal * (variance / n + variance**2 / (2 * (n - 1)))))


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
