"""Loops: where an answer says the same over and over."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

TOKENS = 20
"""A loop has so many, the first round included."""
ROUNDS = 4
"""And so many whole rounds: lists and tables repeat a few tokens without being stuck."""
LONGEST = 16
"""Tokens of a round, at most."""


class Loop(NamedTuple):
    """A stretch of tokens that is one round again and again."""

    start: int
    """Place of the first round."""
    period: int
    """Tokens of a round."""
    rounds: int
    """Whole ones."""

    @property
    def stop(self) -> int:
        """Place after the last whole round."""
        return self.start + self.period * self.rounds


def loops(tokens: Sequence[int] | np.ndarray) -> Iterator[Loop]:
    """The loops of an answer, shortest rounds first; of a stretch that is a loop of several periods the shortest."""
    answer, seen = np.asarray(tokens), np.zeros(len(tokens), dtype=np.bool_)
    for period in range(1, min(LONGEST, len(answer) // ROUNDS) + 1):
        # Places at which the answer says what it said a round ago, as runs.
        again = np.concatenate([[False], answer[period:] == answer[:-period], [False]])
        edges = np.flatnonzero(again[1:] != again[:-1]).reshape(-1, 2)
        for start, stop in edges.tolist():
            found = Loop(start, period, (stop - start) // period + 1)
            if found.rounds >= ROUNDS and found.rounds * period >= TOKENS and not seen[start : found.stop].all():
                seen[start : stop + period] = True
                yield found
