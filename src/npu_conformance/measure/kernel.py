"""Every metric of a row of logits against another, in one pass over the two.

The definitions are in tests/unit/helpers/plain_metrics.py, word for word; here each sum is taken once, in float64, from
buffers that are made once.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Ids = NDArray[np.int64]
Row = NDArray[np.floating[Any]]
RUNNERS_UP = 4
"""Tokens after the reference's choice whose logits are compared with its."""
TOP = RUNNERS_UP + 1
"""Largest logits of either side whose words are compared."""
# Columns of which each is searched as a whole: the largest words lie in those with the largest maxima.
_STRIDE = 64
ROWS = 4
"""Row pairs that are measured together: each call of numpy has its price."""
# Words of them at a time: few enough for the buffers to stay in a second cache, and for BLAS to start no threads, whose
# waking on a machine of many cores takes longer than a sum.
_BLOCK = 8192
# Share of its squares that a row's spread must be for a difference of sums to keep ten digits of it.
_SPREAD = 1e-6
# Share of the reference's squares that the candidate's must be for its sums to follow from those of the error.
_SIZE = 0.01


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


class _Sums(NamedTuple):
    """Sums over the words of a row pair, in float64; r is the reference's, x the candidate's error.

    The candidate is r + x, whose sums follow. Errors of the divergence are counted from that of the reference's choice
    on, y = x - x₀: a shift of all logits changes no probability, and would be a large number whose rounding is left of
    the sum. Its weights w are exp(r) up to a factor.
    """

    r: float
    x: float
    rr: float
    xx: float
    xr: float
    abs: float
    """Of |x|."""
    largest: float
    """|x|."""
    w: float
    wy: float
    excess: float
    """Σw(exp(y) - 1 - y)."""


class Kernel:
    """Measures up to `ROWS` rows together, a block of words at a time."""

    def __init__(self) -> None:
        self._theirs, self._error, self._grown = (np.empty((ROWS, _BLOCK)) for _ in range(3))

    def measure(self, candidate: Row, reference: Row) -> list[Measured]:
        """Compare pairs of rows [at most `ROWS`, vocabulary] of any floating dtype."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            pairs = list(zip(candidate, reference, strict=True))
            words = [(largest_words(theirs), largest_words(mine)) for mine, theirs in pairs]
            leads = [
                np.subtract(mine[top], theirs[top], dtype=np.float64)
                for (mine, theirs), (top, _) in zip(pairs, words, strict=True)
            ]
            sums = self._sums(candidate, reference, np.array([lead[0] for lead in leads]))
            return [_measured(*pair, *row) for pair, *row in zip(pairs, words, leads, sums, strict=True)]

    def _sums(self, candidate: Row, reference: Row, centre: Values) -> list[_Sums]:
        """Of each pair.

        Args:
            candidate: [pairs, vocabulary].
            reference: too.
            centre: x₀ of each.
        """
        rows, words = reference.shape
        peak, largest = reference.max(axis=1, keepdims=True).astype(np.float64), np.zeros(rows)
        found = {name: np.zeros(rows) for name in ("r", "x", "rr", "xx", "xr", "abs", "w", "wy", "excess")}
        for start in range(0, words, _BLOCK):
            mine, theirs = candidate[:, start : start + _BLOCK], reference[:, start : start + _BLOCK]
            r, x, size = (part[:rows, : mine.shape[1]] for part in (self._theirs, self._error, self._grown))
            np.copyto(r, theirs)
            np.copyto(x, mine)
            x -= r
            found["r"] += r.sum(axis=1)
            found["x"] += x.sum(axis=1)
            found["rr"] += _dot(r, r)
            found["xx"] += _dot(x, x)
            found["xr"] += _dot(x, r)
            found["abs"] += np.abs(x, out=size).sum(axis=1)
            largest = np.maximum(largest, size.max(axis=1))
            x -= centre[:, None]
            r -= peak
            self._weigh(found, r, x)
        columns = found | {"largest": largest}
        return [_Sums(**{name: float(values[row]) for name, values in columns.items()}) for row in range(rows)]

    def _weigh(self, found: dict[str, Values], r: Values, y: Values) -> None:
        """Add a block's part of Σw, Σwy and Σw(exp(y) - 1 - y); `r` [pairs, words] becomes w, its exponential.

        In float64: a word that the reference holds for impossible has a weight too, should the candidate choose it.
        """
        grown = self._grown[: len(y), : y.shape[1]]
        w = np.exp(r, out=r)
        found["w"] += w.sum(axis=1)
        found["wy"] += _dot(w, y)
        np.exp(y, out=grown)
        grown -= 1
        grown -= y
        found["excess"] += _dot(w, grown)


def _dot(a: Values, b: Values) -> Values:
    """Σab of each row."""
    return np.asarray(np.matmul(a[:, None, :], b[:, :, None])[:, 0, 0])


def _measured(candidate: Row, reference: Row, words: tuple[Ids, Ids], leads: Values, sums: _Sums) -> Measured:
    n, (top, other) = len(reference), words
    cc, cr = sums.rr + 2 * sums.xr + sums.xx, sums.rr + sums.xr
    if not cc > _SIZE * sums.rr:  # the candidate is much smaller: its sums would be rounding of the reference's
        mine, theirs = candidate.astype(np.float64), reference.astype(np.float64)
        cc, cr = float(mine @ mine), float(mine @ theirs)
    finite, reference_finite = bool(np.isfinite(cc)), bool(np.isfinite(sums.rr))
    spread, spread_mine, together, along = _centred(candidate, reference, sums, cc, cr)
    mean = np.float64(sums.wy) / sums.w
    found = Measured(
        cosine=float(np.float64(cr) / np.sqrt(cc * sums.rr)),
        pearson=float(np.float64(together) / np.sqrt(spread_mine * spread)),
        relative_l2=float(np.sqrt(np.float64(sums.xx) / sums.rr)),
        kl=float(np.maximum(np.log1p(mean + sums.excess / sums.w) - mean, 0.0)),
        max_abs=sums.largest,
        mean_abs=sums.abs / n,
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


def _centred(candidate: Row, reference: Row, sums: _Sums, cc: float, cr: float) -> tuple[float, float, float, float]:
    """Of the centred rows: Σr², Σc², Σcr, and Σxr where the error is not centred."""
    n, mine = len(reference), sums.r + sums.x
    spread, spread_mine = sums.rr - sums.r * sums.r / n, cc - mine * mine / n
    if cc > _SIZE * sums.rr and spread >= _SPREAD * sums.rr and spread_mine >= _SPREAD * cc:
        return spread, spread_mine, cr - mine * sums.r / n, sums.xr - sums.r * sums.x / n
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
