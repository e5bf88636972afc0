"""Stored bytes that no training leaves: runs of zeros, a block stored twice, a block of arbitrary bytes.

Engine and reference read the same bytes, so no comparison of the two shows that a disk or a download damaged them. All
is looked at in pieces, so that a tensor of any size takes a few passes and one part in a hundred of its size.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

PIECE = 1024
"""Bytes that are looked at together; damage is seen where it fills two of them."""
_LEAST = 8
"""Pieces that a tensor has at least which is looked at."""
_BATCH = 1 << 14
"""Pieces a pass works on."""
_MOST = 16
"""Places beyond which a tensor is made so: sparse, of alike rows."""
_SAMPLED = 1 << 10
"""Pieces by which a tensor's codes are known."""
_RARE = 0.3
"""Share of the less used half of byte values above which a tensor's codes are too even to tell them from others."""
_ARBITRARY = 0.42
"""Share of them in a piece of arbitrary bytes: a half, less five standard deviations."""
_LEAST_CODES = 64
"""Pieces by which a tensor's codes are known at least."""
_EVEN = 255 + 5 * 510**0.5
"""Chi-square of 256 byte values below which they are equally frequent, at five standard deviations."""
_UNLIKE = 64
"""Different words of 128 that a piece has at least which is not there twice by its making."""


@dataclass(frozen=True)
class Damage:
    """A part of a tensor's bytes."""

    what: str
    """`zeros`, `repeated` or `arbitrary`."""
    start: int
    """Its first byte in the tensor."""
    stop: int
    """The byte behind it."""
    source: int = 0
    """Of what is repeated: where the same bytes are."""


def find_damage(raw: Bytes, row: int, *, codes: bool) -> list[Damage]:
    """Parts of a tensor's bytes that look damaged.

    Args:
        raw: the tensor as it is stored, [bytes].
        row: bytes of a row. Whole rows that are empty or there twice are no damage: tokens that nobody uses have such,
            and heads are repeated so.
        codes: whether each byte is made of codes, which are used unevenly; floats are judged by their size instead.
    """
    if len(raw) < _LEAST * PIECE or not raw.any():
        return []
    hashes = _hashes(raw)
    found = [*_zeros(raw, hashes == 0), *_repeated(raw, hashes)]
    found = [one for one in found if one.start % row or one.stop % row or (one.start - one.source) % row]
    return found + (list(_arbitrary(raw, hashes != 0)) if codes else [])


def _hashes(raw: Bytes) -> NDArray[np.uint64]:
    """Of each whole piece; 0 of one that is all zeros."""
    words = raw[: len(raw) // PIECE * PIECE].view(np.uint64).reshape(-1, PIECE // 8)
    factors = np.random.default_rng(0).integers(0, 1 << 63, words.shape[1], dtype=np.uint64) * 2 + 1
    return np.asarray(words @ factors, np.uint64)


def _runs(values: NDArray[np.int64]) -> list[tuple[int, int]]:
    """First and last but one of neighbours that have one value other than 0; none where that is in too many places."""
    edges = np.flatnonzero(np.diff(values, prepend=0, append=0))
    runs = [(int(start), int(stop)) for start, stop in itertools.pairwise(edges) if stop - start > 1]
    runs = [(start, stop) for start, stop in runs if values[start]]
    return runs if len(runs) <= _MOST else []


def _zeros(raw: Bytes, empty: NDArray[np.bool_]) -> Iterator[Damage]:
    for first, last in _runs(empty.astype(np.int64)):
        start, stop = first * PIECE, last * PIECE
        before, behind = raw[max(0, start - PIECE) : start], raw[stop : stop + PIECE]
        yield Damage("zeros", start - _leading(before[::-1] == 0), stop + _leading(behind == 0))


def _repeated(raw: Bytes, hashes: NDArray[np.uint64]) -> Iterator[Damage]:
    order = np.argsort(hashes, kind="stable")
    same = np.flatnonzero((np.diff(hashes[order]) == 0) & (hashes[order][1:] != 0))
    away = np.zeros(len(hashes), np.int64)
    away[order[same + 1]] = order[same + 1] - order[same]
    for first, last in _runs(away):
        start, stop, back = first * PIECE, last * PIECE, int(away[first]) * PIECE
        if len(np.unique(raw[start : start + PIECE].view(np.uint64))) < _UNLIKE:
            continue
        lead = min(PIECE, start - back)
        start -= _leading((raw[start - lead : start] == raw[start - back - lead : start - back])[::-1])
        behind = raw[stop : stop + PIECE]
        stop += _leading(behind == raw[stop - back : stop - back + len(behind)])
        yield Damage("repeated", start, stop, start - back)


def _leading(true: NDArray[np.bool_]) -> int:
    """How many are true before the first that is not."""
    return len(true) if true.all() else int(true.argmin())


def _arbitrary(raw: Bytes, filled: NDArray[np.bool_]) -> Iterator[Damage]:
    """Where byte values that the tensor hardly uses are as frequent as all others."""
    pieces = raw[: len(filled) * PIECE].reshape(-1, PIECE)
    known = np.flatnonzero(filled)
    used = np.bincount(pieces[known[:: max(1, len(known) // _SAMPLED)]].reshape(-1), minlength=256)
    rare = np.zeros(256, np.uint8)
    rare[np.argsort(used, kind="stable")[:128]] = 1
    if len(known) < _LEAST_CODES or used[rare == 1].sum() > _RARE * used.sum():
        return
    batches = range(0, len(pieces), _BATCH)
    shares = np.concatenate([rare[pieces[start : start + _BATCH]].mean(axis=1) for start in batches])
    for first, last in _runs((shares > _ARBITRARY).astype(np.int64)):
        counts = np.bincount(pieces[first:last].reshape(-1), minlength=256)
        if np.square(counts - counts.mean()).sum() / counts.mean() < _EVEN:
            yield Damage("arbitrary", first * PIECE, last * PIECE)
