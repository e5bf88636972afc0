"""Every metric of a row of logits against another, in one pass over the two.

The definitions are in tests/unit/helpers/plain_metrics.py, word for word; here each sum is taken once, in float64, from
buffers that are made once. The weights of the divergence alone are float32's: of them only a mean is taken.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Row = NDArray[np.floating[Any]]
RUNNERS_UP = 4
"""Tokens after the reference's choice whose logits are compared with its."""
TOP = RUNNERS_UP + 1
"""Largest logits of either side whose words are compared."""
# Columns of which each is searched as a whole: the largest words lie in those with the largest maxima.
_STRIDE = 64
# Words at a time: few enough for their buffers to stay in a processor's second cache, and for BLAS to start no threads.
_BLOCK = 8192
# Share of its squares that a row's spread must be for a difference of sums to keep ten digits of it.
_SPREAD = 1e-6
# Errors below it leave the series of exp(x) - 1 - x up to the fifth power within 1e-8 of its value.
_SMALL = 0.05


class Measured(NamedTuple):
    """Of a position; NaN where a logit of either side is not finite."""

    cosine: float
    """Σcr / (‖c‖‖r‖); NaN where either row is all zero."""
    pearson: float
    """The cosine of the centred rows."""
    relative_l2: float
    """‖c - r‖ / ‖r‖."""
    kl: float
    """KL(reference ‖ candidate) of the softmax distributions, in nats (Kullback and Leibler, 1951)."""
    max_abs: float
    mean_abs: float
    top5: float
    """Share of the reference's largest `TOP` logits' words that are among the candidate's, 0 to 1."""
    gain: float
    """Signed error along the reference: Σ (c - r)(r - r̄) / Σ (r - r̄)²; 0.01 for logits scaled by 1.01."""
    leads: tuple[float, ...]
    """Error of the lead of the reference's choice over its runners-up, in logits; NaN where there are fewer words."""
    rms: float
    """Root mean square of the reference's logits; NaN only where these are not finite."""
    choice: int
    """The candidate's greedy word, -1 where a NaN leaves none; of equal logits the first wins."""
    reference_choice: int
    finite: bool
    """Whether all of the candidate's logits are."""
    reference_finite: bool


_NAN = float("nan")
_NUMBERS = ("cosine", "pearson", "relative_l2", "kl", "max_abs", "mean_abs", "top5", "gain")


class _Sums:
    """Sums over the words of a row pair, in float64; c is the candidate's, r the reference's, x the error c - r.

    Errors of the divergence are counted from the reference's choice on, y = x - x₀: a shift of all logits changes no
    probability, and would be a large number whose rounding is left of the sum.
    """

    def __init__(self) -> None:
        self.c = self.r = self.x = self.cc = self.rr = self.cr = self.xx = self.along = self.mean_abs = 0.0
        self.weight = self.wy = self.excess = 0.0
        self.largest, self.least = float("-inf"), float("inf")


class Kernel:
    """Measures rows, a block of words at a time."""

    def __init__(self) -> None:
        self._mine, self._theirs, self._error, self._weights, self._power = (np.empty(_BLOCK) for _ in range(5))

    def measure(self, candidate: Row, reference: Row) -> Measured:
        """Compare two rows [vocabulary] of any floating dtype."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return self._measure(candidate, reference)

    def _measure(self, candidate: Row, reference: Row) -> Measured:
        n = len(reference)
        top, other = largest_words(reference), largest_words(candidate)
        leads = np.subtract(candidate[top], reference[top], dtype=np.float64)
        sums = self._sums(candidate, reference, float(leads[0]))
        finite, reference_finite = bool(np.isfinite(sums.cc)), bool(np.isfinite(sums.rr))
        spread, spread_mine, together, along = _centred(candidate, reference, sums)
        mean = sums.wy / sums.weight
        found = Measured(
            cosine=float(np.float64(sums.cr) / np.sqrt(sums.cc * sums.rr)),
            pearson=float(np.float64(together) / np.sqrt(spread_mine * spread)),
            relative_l2=float(np.sqrt(np.float64(sums.xx) / sums.rr)),
            kl=float(np.maximum(np.log1p(mean + sums.excess / sums.weight) - mean, 0.0)),
            max_abs=max(sums.largest, -sums.least),
            mean_abs=sums.mean_abs / n,
            top5=len(np.intersect1d(top, other)) / len(top),
            gain=float(np.float64(along) / spread),
            leads=(*(leads[0] - leads[1:]).tolist(), *[_NAN] * (RUNNERS_UP + 1 - len(leads))),
            rms=float(np.sqrt(sums.rr / n)) if reference_finite else _NAN,
            choice=_choice(candidate, int(other[0]), finite),
            reference_choice=_choice(reference, int(top[0]), reference_finite),
            finite=finite,
            reference_finite=reference_finite,
        )
        if finite and reference_finite:
            return found
        lost: dict[str, Any] = dict.fromkeys(_NUMBERS, _NAN)
        return found._replace(**lost, leads=(_NAN,) * RUNNERS_UP)

    def _sums(self, candidate: Row, reference: Row, centre: float) -> _Sums:
        sums, peak = _Sums(), reference.max()
        for start in range(0, len(reference), _BLOCK):
            mine, theirs = candidate[start : start + _BLOCK], reference[start : start + _BLOCK]
            c, r, x = (buffer[: len(mine)] for buffer in (self._mine, self._theirs, self._error))
            np.copyto(c, mine)
            np.copyto(r, theirs)
            np.subtract(c, r, out=x)
            sums.c += float(c.sum())
            sums.r += float(r.sum())
            sums.x += float(x.sum())
            sums.cc += float(c @ c)
            sums.rr += float(r @ r)
            sums.cr += float(c @ r)
            sums.xx += float(x @ x)
            sums.along += float(x @ r)
            sums.largest, sums.least = max(sums.largest, float(x.max())), min(sums.least, float(x.min()))
            sums.mean_abs += float(np.abs(x, out=c).sum())
            self._weigh(sums, np.exp(theirs - peak), x, centre)
        return sums

    def _weigh(self, sums: _Sums, likely: Row, x: Values, centre: float) -> None:
        """Add a block's part of Σw, Σwy and Σw(exp(y) - 1 - y), where w is exp(r) up to a factor."""
        w, power = self._weights[: len(x)], self._power[: len(x)]
        np.copyto(w, likely)
        x -= centre
        sums.weight += float(w.sum())
        far = np.flatnonzero(np.abs(x, out=power) >= _SMALL)
        if len(far):
            y = x[far]
            sums.wy += float(w[far] @ y)
            sums.excess += float(w[far] @ (np.exp(y) - 1 - y))
            w[far] = 0.0
        sums.wy += float(w @ x)
        np.multiply(w, x, out=power)
        factorial = 1.0
        for order in range(2, 6):
            factorial *= order
            sums.excess += float(power @ x) / factorial
            if order < 5:
                power *= x


def _centred(candidate: Row, reference: Row, sums: _Sums) -> tuple[float, float, float, float]:
    """Of the centred rows: Σr², Σc², Σcr, and Σxr where the error is not centred."""
    n = len(reference)
    spread, spread_mine = sums.rr - sums.r * sums.r / n, sums.cc - sums.c * sums.c / n
    if spread >= _SPREAD * sums.rr and spread_mine >= _SPREAD * sums.cc:
        return spread, spread_mine, sums.cr - sums.c * sums.r / n, sums.along - sums.r * sums.x / n
    # Rows that hardly vary: the differences above would be rounding.
    c, r = candidate.astype(np.float64), reference.astype(np.float64)
    x = c - r
    c -= c.mean()
    r -= r.mean()
    return float(r @ r), float(c @ c), float(c @ r), float(x @ r)


def _choice(row: Row, largest: int, finite: bool) -> int:
    if finite:
        return largest
    return -1 if np.isnan(row).any() else int(row.argmax())


def largest_words(row: Row, count: int = TOP) -> NDArray[np.int64]:
    """Words with the largest logits [count or fewer], largest first; of equal ones the first."""
    whole = len(row) // _STRIDE * _STRIDE
    if whole <= count * _STRIDE:
        candidates = np.arange(len(row))
    else:
        columns = row[:whole].reshape(_STRIDE, -1).max(axis=0)
        best = np.argpartition(columns, -count)[-count:]
        strided = best[:, None] + len(columns) * np.arange(_STRIDE)
        candidates = np.concatenate([strided.ravel(), np.arange(whole, len(row))])
    values = row[candidates]
    order = np.lexsort((candidates, -values))[:count]
    return np.asarray(candidates[order])
