"""Every metric of rows of logits against others, in one pass over the two.

The definitions are in tests/unit/helpers/plain_metrics.py, word for word; here each sum is taken once, in float64, from
buffers that are made once.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.floating[Any]]
RUNNERS_UP = 4
"""Tokens after the reference's choice whose logits are compared with its."""
TOP = RUNNERS_UP + 1
"""Largest logits of either side whose words are compared."""
# Columns of which each is searched as a whole: the largest words lie in those with the largest maxima.
_STRIDE = 64
# Words of a row at a time, and of all rows that are measured together, for each call of numpy has its price: few enough
# for the buffers to stay in a second cache, and for BLAS to start no threads, whose waking on a machine of many cores
# takes longer than a sum.
_BLOCK = 8192
_TOGETHER = 4 * _BLOCK
# Share of its squares that a row's spread must be for a difference of sums to keep ten digits of it.
_SPREAD = 1e-6
# Share of the reference's squares that the candidate's must be for its sums to follow from those of the error.
_SIZE = 0.01


class Measured(NamedTuple):
    """Of rows, one value each [rows]; NaN where a logit of either side is not finite."""

    cosine: Values
    """Σcr / (‖c‖‖r‖); NaN where either row is all zero."""
    pearson: Values
    """The cosine of the centred rows."""
    relative_l2: Values
    """‖c - r‖ / ‖r‖."""
    kl: Values
    """KL(reference ‖ candidate) of the softmax distributions, in nats (Kullback and Leibler, 1951)."""
    max_abs: Values
    mean_abs: Values
    top5: Values
    """Share of the reference's largest `TOP` logits' words that are among the candidate's, 0 to 1."""
    gain: Values
    """Signed error along the reference: Σ (c - r)(r - r̄) / Σ (r - r̄)²; 0.01 for logits scaled by 1.01."""
    leads: Values
    """Error of the lead of the reference's choice over its runners-up, in logits [rows, RUNNERS_UP]; NaN where there
    are fewer words."""
    margins: Values
    """By how much the reference's choice leads its runners-up, in logits [rows, RUNNERS_UP]; NaN as above."""
    rms: Values
    """Root mean square of the reference's logits; NaN only where these are not finite."""
    log_sums: Values
    """Logarithm of the sum of exponentials of the candidate's logits and of the reference's [rows, 2]."""
    words: Ids
    """The candidate's words with the largest logits, largest first [rows, TOP or fewer]; of finite rows."""
    reference_words: Ids
    choice: Ids
    """The candidate's greedy word, -1 where a NaN leaves none; of equal logits the first wins."""
    reference_choice: Ids
    finite: Flags
    """Whether all of the candidate's logits are."""
    reference_finite: Flags


_NUMBERS = (
    "cosine",
    "pearson",
    "relative_l2",
    "kl",
    "max_abs",
    "mean_abs",
    "top5",
    "gain",
    "leads",
    "margins",
    "log_sums",
)


class _Sums(NamedTuple):
    """Sums over the words of row pairs [rows], in float64; r is the reference's, x the candidate's error.

    The candidate is r + x, whose sums follow. Errors of the divergence are counted from that of the reference's choice
    on, y = x - x₀: a shift of all logits changes no probability, and would be a large number whose rounding is left of
    the sum. Its weights w are exp(r) up to a factor.
    """

    r: Values
    x: Values
    rr: Values
    xx: Values
    xr: Values
    abs: Values
    """Of |x|."""
    w: Values
    wy: Values
    excess: Values
    """Σw(exp(y) - 1 - y)."""
    largest: Values
    """Not a sum: |x|."""


def rows_together(words: int) -> int:
    """How many rows of a vocabulary `measure` takes at best."""
    return max(_TOGETHER // min(words, _BLOCK), 1)


def measure(candidate: Rows, reference: Rows) -> Measured:
    """Compare pairs of rows [rows, vocabulary] of any floating dtype."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        top, other = largest_words(reference), largest_words(candidate)
        mine, theirs = (np.take_along_axis(side, top, axis=1).astype(float) for side in (candidate, reference))
        sums = _sums(candidate, reference, mine[:, :1] - theirs[:, :1])
        leads = (_leads(mine - theirs), _leads(theirs))
        return _measured(candidate, reference, (top, other), leads, sums, _log_sums(mine[:, 0], theirs[:, 0], sums))


def _log_sums(mine: Values, theirs: Values, sums: _Sums) -> Values:
    """Of both sides [rows, 2], from their logits of the reference's choice, whose weight is 1."""
    of_mine = sums.w + sums.wy + sums.excess
    return np.stack([mine + np.log(of_mine), theirs + np.log(sums.w)], axis=1)


def _leads(largest: Values) -> Values:
    """Of the first over the others [rows, RUNNERS_UP], of the reference's largest words' values."""
    missing = RUNNERS_UP + 1 - largest.shape[1]
    return np.pad(largest[:, :1] - largest[:, 1:], ((0, 0), (0, missing)), constant_values=np.nan)


def _sums(candidate: Rows, reference: Rows, centre: Values) -> _Sums:
    """Of each pair.

    Args:
        candidate: [rows, vocabulary].
        reference: too.
        centre: x₀ of each [rows, 1].
    """
    rows, words = reference.shape
    peak = reference.max(axis=1, keepdims=True).astype(np.float64)
    buffers = np.empty((3, rows, min(words, _BLOCK)))
    found = _Sums(*np.zeros((len(_Sums._fields), rows)))
    for start in range(0, words, _BLOCK):
        mine, theirs = candidate[:, start : start + _BLOCK], reference[:, start : start + _BLOCK]
        r, x, size = buffers[:, :, : mine.shape[1]]
        np.copyto(r, theirs)
        np.copyto(x, mine)
        x -= r
        np.abs(x, out=size)
        np.maximum(found.largest, size.max(axis=1), out=found.largest)
        _add(found.abs, size.sum(axis=1))
        _add(found.r, r.sum(axis=1))
        _add(found.x, x.sum(axis=1))
        _add(found.rr, _dot(r, r))
        _add(found.xx, _dot(x, x))
        _add(found.xr, _dot(x, r))
        x -= centre
        r -= peak
        _weigh(found, r, x, size)
    return found


def _weigh(found: _Sums, r: Values, y: Values, grown: Values) -> None:
    """Add a block's part of Σw, Σwy and Σw(exp(y) - 1 - y); `r` [rows, words] becomes w, its exponential.

    In float64: a word that the reference holds for impossible has a weight too, should the candidate choose it.
    """
    w = np.exp(r, out=r)
    _add(found.w, w.sum(axis=1))
    _add(found.wy, _dot(w, y))
    np.exp(y, out=grown)
    grown -= 1
    grown -= y
    _add(found.excess, _dot(w, grown))


def _add(total: Values, part: Values) -> None:
    total += part


def _dot(a: Values, b: Values) -> Values:
    """Σab of each row."""
    return np.asarray(np.matmul(a[:, None, :], b[:, :, None])[:, 0, 0])


def _measured(
    candidate: Rows,
    reference: Rows,
    words: tuple[Ids, Ids],
    leads: tuple[Values, Values],
    sums: _Sums,
    log_sums: Values,
) -> Measured:
    n, (top, other) = reference.shape[1], words
    cc, cr = _of_candidate(candidate, reference, sums)
    spread, spread_mine, together, along = _centred(candidate, reference, sums, cc, cr)
    mean = sums.wy / sums.w
    finite, reference_finite = np.isfinite(cc), np.isfinite(sums.rr)
    found = Measured(
        cosine=cr / np.sqrt(cc * sums.rr),
        pearson=together / np.sqrt(spread_mine * spread),
        relative_l2=np.sqrt(sums.xx / sums.rr),
        kl=np.maximum(np.log1p(mean + sums.excess / sums.w) - mean, 0.0),
        max_abs=sums.largest,
        mean_abs=sums.abs / n,
        top5=(top[:, :, None] == other[:, None, :]).any(axis=2).mean(axis=1),
        gain=along / spread,
        leads=leads[0],
        margins=leads[1],
        rms=np.where(reference_finite, np.sqrt(sums.rr / n), np.nan),
        log_sums=log_sums,
        words=other,
        reference_words=top,
        choice=_choices(candidate, other, finite),
        reference_choice=_choices(reference, top, reference_finite),
        finite=finite,
        reference_finite=reference_finite,
    )
    lost = ~(finite & reference_finite)
    for name in _NUMBERS:
        getattr(found, name)[lost] = np.nan
    return found


def _of_candidate(candidate: Rows, reference: Rows, sums: _Sums) -> tuple[Values, Values]:
    """Σcc and Σcr."""
    cc, cr = sums.rr + 2 * sums.xr + sums.xx, sums.rr + sums.xr
    # The candidate is much smaller: its sums would be rounding of the reference's.
    for row in np.flatnonzero(~(cc > _SIZE * sums.rr)):
        mine, theirs = candidate[row].astype(np.float64), reference[row].astype(np.float64)
        cc[row], cr[row] = mine @ mine, mine @ theirs
    return cc, cr


def _centred(candidate: Rows, reference: Rows, sums: _Sums, cc: Values, cr: Values) -> tuple[Values, ...]:
    """Of the centred rows: Σr², Σc², Σcr, and Σxr where the error is not centred."""
    n, mine = reference.shape[1], sums.r + sums.x
    spread, spread_mine = sums.rr - sums.r * sums.r / n, cc - mine * mine / n
    together, along = cr - mine * sums.r / n, sums.xr - sums.r * sums.x / n
    kept = (cc > _SIZE * sums.rr) & (spread >= _SPREAD * sums.rr) & (spread_mine >= _SPREAD * cc)
    # Rows that hardly vary: the differences above would be rounding.
    for row in np.flatnonzero(~kept):
        c, r = candidate[row].astype(np.float64), reference[row].astype(np.float64)
        x = c - r
        c -= c.mean()
        r -= r.mean()
        spread[row], spread_mine[row], together[row], along[row] = r @ r, c @ c, c @ r, x @ r
    return spread, spread_mine, together, along


def _choices(rows: Rows, largest: Ids, finite: Flags) -> Ids:
    found: Ids = largest[:, 0].copy()
    for row in np.flatnonzero(~finite):
        found[row] = -1 if np.isnan(rows[row]).any() else rows[row].argmax()
    return found


def largest_words(rows: Rows, count: int = TOP) -> Ids:
    """Words with the largest logits [rows, count or fewer], largest first; of equal ones the first.

    Of rows that are finite: of others nothing is said.
    """
    words = rows.shape[1]
    whole = words // _STRIDE * _STRIDE
    if words <= _BLOCK or whole <= count * _STRIDE:
        return _largest(rows, count)
    columns = rows[:, :whole].reshape(len(rows), _STRIDE, -1).max(axis=1)
    strided = _largest(columns, count)[:, :, None] + columns.shape[1] * np.arange(_STRIDE)
    rest = np.broadcast_to(np.arange(whole, words), (len(rows), words - whole))
    # In their order, so that of equal ones the first is found.
    candidates = np.concatenate([np.sort(strided.reshape(len(rows), -1), axis=1), rest], axis=1)
    found = _largest(np.take_along_axis(rows, candidates, axis=1), count)
    return np.take_along_axis(candidates, found, axis=1)


def _largest(values: Rows, count: int) -> Ids:
    """Places of the largest, found one by one: few passes over the values, but in order."""
    left, each = np.array(values, dtype=np.result_type(values, np.float16)), np.arange(len(values))
    found = np.empty((len(values), min(count, values.shape[1])), dtype=np.int64)
    for place in found.T:
        place[:] = left.argmax(axis=1)
        left[each, place] = -np.inf
    return found
