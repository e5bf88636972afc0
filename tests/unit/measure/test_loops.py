"""Where an answer says the same over and over, and where it only seems to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npu_conformance.measure.loops import LONGEST, ROUNDS, TOKENS, Loop, loops

BEFORE, AFTER = [101, 102, 103], [104, 105]


@pytest.mark.parametrize(
    ("period", "rounds"), [(1, 20), (1, 40), (2, 10), (3, 7), (5, 4), (7, 4), (16, 4)], ids=lambda number: str(number)
)
def test_a_loop_is_found_with_its_place(period: int, rounds: int) -> None:
    """Once, with its shortest period, wherever it stands."""
    found = list(loops([*BEFORE, *(list(range(period)) * rounds), *AFTER]))
    assert found == [Loop(3, period, rounds)]
    assert found[0].stop == 3 + period * rounds


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        [7],
        [7] * 19,
        [1, 2] * 9,
        [1, 2, 3, 4, 5, 6, 7] * 3,
        list(range(17)) * 5,
        list(range(200)),
        # A table: the same separators, other words.
        [token for word in range(30) for token in (1, 2, 100 + word)],
    ],
)
def test_what_is_no_loop(tokens: list[int]) -> None:
    """Too short, too few rounds, rounds too long, rounds that differ."""
    assert list(loops(tokens)) == []


def test_two_loops_are_two() -> None:
    """And a part of a round at the end counts as none."""
    assert list(loops([1] * 25 + [2, 3] * 12 + [2])) == [Loop(0, 1, 25), Loop(25, 2, 12)]


@given(st.lists(st.integers(0, 2), max_size=120))
def test_what_is_found_repeats_itself(tokens: list[int]) -> None:
    """And is as long as a loop must be."""
    for loop in loops(tokens):
        rounds = np.reshape(tokens[loop.start : loop.stop], (loop.rounds, loop.period))
        assert (rounds == rounds[0]).all()
        assert loop.rounds >= ROUNDS
        assert rounds.size >= TOKENS
        assert loop.period <= LONGEST
