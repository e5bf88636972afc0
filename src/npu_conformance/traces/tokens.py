"""Two sequences of tokens side by side: where they part."""

from collections.abc import Sequence


def first_difference(mine: Sequence[int], theirs: Sequence[int]) -> int:
    """Index of the first token that differs, or at which one of two sequences ends."""
    pairs = enumerate(zip(mine, theirs, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(mine), len(theirs)))


def comparable(mine: Sequence[int], theirs: Sequence[int]) -> int:
    """Positions that had seen the same tokens: up to and including the first that gave another one."""
    return min(first_difference(mine, theirs) + 1, len(mine), len(theirs))
