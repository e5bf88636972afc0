"""The worst of many values, held against the tail of a sample of their kind."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Tail(NamedTuple):
    """The upper tail of a sample, beyond a threshold, as an exponential whose scale was measured on so many values.

    What it predicts of another value is (1 + x / (n·scale))^-n, which is the exponential where n is large: a scale of
    few values may be too small.

    Source: peaks over threshold, Pickands, Statistical inference using extreme order statistics (1975), with the
    shape at 0; the prediction is that of an exponential's mean with Jeffreys' prior.
    """

    threshold: float
    scale: float
    n: int
    share: float
    """Of the sample, that lies beyond the threshold."""

    def chance(self, value: float, draws: int) -> float:
        """That the largest of so many draws reaches the value."""
        if not self.n:  # all are alike: beyond them nothing was seen, and less is no surprise
            return 0.0 if value > self.threshold else 1.0
        one = self.share * (1 + max(value - self.threshold, 0.0) / (self.n * self.scale)) ** -self.n
        return float(-np.expm1(draws * np.log1p(-one)))

    def reach(self, chance: float, draws: int) -> float:
        """The value that the largest of so many draws reaches with that chance."""
        if not self.n:
            return self.threshold
        one = -np.expm1(np.log1p(-chance) / draws)
        return float(self.threshold + self.n * self.scale * ((one / self.share) ** (-1 / self.n) - 1))


class Furthest(NamedTuple):
    """Several tails of one sample: at every value, the one that finds it least surprising."""

    tails: tuple[Tail, ...]

    def chance(self, value: float, draws: int) -> float:
        """That the largest of so many draws reaches the value."""
        return max(tail.chance(value, draws) for tail in self.tails)

    def reach(self, chance: float, draws: int) -> float:
        """The value that the largest of so many draws reaches with that chance."""
        return max(tail.reach(chance, draws) for tail in self.tails)


def fit_tail(sample: ArrayLike, share: float = 0.05) -> Tail:
    """The tail of a sample of at least a hundred values.

    Args:
        sample: its values.
        share: of them that the tail is fitted to.
    """
    values = np.asarray(sample, dtype=np.float64)
    threshold = float(np.quantile(values, 1 - share))
    beyond = values[values > threshold] - threshold
    return Tail(threshold, float(beyond.mean()) if len(beyond) else 0.0, len(beyond), share)
