"""Router ties: margins against what floor runs scatter."""

import numpy as np

from npu_conformance.measure.router import router_ties


def margins(*rows: tuple[float, float]) -> np.ndarray:
    """Of two layers."""
    return np.array(rows, dtype=np.float32)


def test_a_margin_within_four_spreads_is_a_tie() -> None:
    """In any layer; the spread is that of all margins' errors, here 0.1."""
    exact = margins((0.39, 9), (9, 0.41), (9, 9), (9, 0.01))
    runs = [exact + np.float32(0.1), exact - np.float32(0.1)]

    assert router_ties(exact, runs).tolist() == [True, False, False, True]


def test_where_all_experts_are_chosen_there_is_none() -> None:
    """A layer without a choice says nothing."""
    exact = margins((np.inf, 1.0), (np.inf, 0.1))
    assert router_ties(exact, [exact + np.float32(0.05)]).tolist() == [False, True]
    everywhere = margins((np.inf, np.inf))
    assert router_ties(everywhere, [everywhere]).tolist() == [False]
