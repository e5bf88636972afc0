"""Delta debugging: the smallest part of a set that still fails."""

import itertools
from collections.abc import Callable, Sequence


def smallest_failing(features: Sequence[str], fails: Callable[[frozenset[str]], bool]) -> frozenset[str]:
    """A subset that fails and of which no feature can be left out.

    Source: Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input (2002), algorithm ddmin.

    Args:
        features: a set that fails.
        fails: whether a subset fails; asked once for each.
    """
    known: dict[frozenset[str], bool] = {frozenset(features): True}

    def ask(subset: frozenset[str]) -> bool:
        if subset not in known:
            known[subset] = fails(subset)
        return known[subset]

    rest, parts = list(features), 2
    while len(rest) > 1:
        pieces = [frozenset(piece) for piece in _split(rest, parts)]
        complements = [frozenset(rest) - piece for piece in pieces]
        smaller = next((subset for subset in (*pieces, *complements) if ask(subset)), None)
        if smaller is not None:
            parts = 2 if smaller in pieces else max(parts - 1, 2)
            rest = [feature for feature in rest if feature in smaller]
        elif parts < len(rest):
            parts = min(2 * parts, len(rest))
        else:
            break
    return frozenset(rest)


def _split(items: list[str], parts: int) -> list[list[str]]:
    edges = [round(len(items) * part / parts) for part in range(parts + 1)]
    return [items[start:end] for start, end in itertools.pairwise(edges)]
