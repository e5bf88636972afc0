"""Rates of positions that are not independent: how many they are worth, and intervals on so many.

Simulated coverage is checked in tests/unit/measure/test_rates.py.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from npu_conformance.measure.statistics import LEVEL, Interval, t_quantile

INTRACLASS = 0.03
"""Correlation within a prompt that is assumed of mismatches, at least. Those of the floor runs of seven twins, with 200
prompts each, gave estimates between -0.04 and 0.03."""
# Prompts that an estimate of it needs: two say next to nothing of a spread.
_FEWEST = 3


def effective_n(lengths: ArrayLike, correlation: float = INTRACLASS) -> float:
    """Independent positions that prompts of these lengths are worth: Σm / (1 + (m̃ - 1)·ρ), m̃ = Σm² / Σm.

    Source: Kish, Survey Sampling (1965), design effect of clusters of unequal size.
    """
    sizes = np.asarray(lengths, dtype=np.float64)
    total = sizes.sum()
    return float(total / (1 + ((sizes**2).sum() / total - 1) * correlation))


def intraclass(hits: ArrayLike, lengths: ArrayLike) -> float:
    """Correlation of hits within a prompt, estimated by the analysis of variance of prompts of unequal lengths.

    Source: Donner, A review of inference procedures for the intraclass correlation coefficient (1986).

    Args:
        hits: of each prompt.
        lengths: positions of each, at least one.

    Returns:
        0 where nothing can be estimated: fewer than three prompts, one position each, all hits or none.
    """
    found, sizes = np.asarray(hits, dtype=np.float64), np.asarray(lengths, dtype=np.float64)
    prompts, n, rates = len(sizes), float(sizes.sum()), found / sizes
    if prompts < _FEWEST or n == prompts:
        return 0.0
    between = float((sizes * (rates - found.sum() / n) ** 2).sum()) / (prompts - 1)
    within = float((sizes * rates * (1 - rates)).sum()) / (n - prompts)
    usual = (n - float((sizes**2).sum()) / n) / (prompts - 1)
    total = between + (usual - 1) * within
    return (between - within) / total if total > 0 else 0.0


def worth(hits: ArrayLike, lengths: ArrayLike) -> float:
    """Independent positions that those of prompts are worth, with the correlation they show, or the assumed one.

    An estimate from few prompts is uncertain: where it is used, fewer positions count.

    Source: Korn and Graubard (see `rate_interval`), for the ratio of Student's quantiles.

    Args:
        hits: of each prompt.
        lengths: positions of each, at least one.
    """
    correlation = intraclass(hits, lengths)
    if correlation <= INTRACLASS:
        return effective_n(lengths)
    sizes = np.asarray(lengths, dtype=np.float64)
    ends = [t_quantile((1 + LEVEL) / 2, n) for n in (int(sizes.sum()), len(sizes))]
    return effective_n(sizes, correlation) * (ends[0] / ends[1]) ** 2


def rate_interval(hits: float, n: int, effective: float) -> Interval:
    """Clopper-Pearson bounds of a rate on an effective number of positions.

    Each end holds by itself with 95 % confidence: a limit has one side. So 300 of 300 show 99 %, and 7 of 7 show 65 %,
    as scipy's `binomtest(7, 7, alternative="greater").proportion_ci(0.95)` has it.

    Source: Korn and Graubard, Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data (1998).
    """
    from scipy.special import betaincinv  # late: collecting needs none of it; scipy.stats takes a second to import

    tail, count = 1 - LEVEL, hits / n * effective
    low = 0.0 if hits <= 0 else float(betaincinv(count, effective - count + 1, tail))
    high = 1.0 if hits >= n else float(betaincinv(count + 1, effective - count, 1 - tail))
    return low, high


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
