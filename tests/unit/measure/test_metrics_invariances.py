"""What metrics do not see: order of words and positions, scales, shifts, monotone maps; and what they do see."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.helpers import row_metrics as metrics
from tests.unit.helpers.drawn_rows import (
    POSITIONS,
    SIMILARITIES,
    Values,
    directed,
    every_metric,
    ordered,
    permutations,
    repeatable,
    rows,
    scales,
    shifts,
)
from tests.unit.helpers.plain_metrics import Metric


@every_metric
@repeatable
@given(ordered, ordered, permutations)
def test_words_have_no_order(metric: Metric, candidate: Values, reference: Values, order: list[int]) -> None:
    """Another numbering of the vocabulary, the same on both sides, changes nothing."""
    again = metric(candidate[:, order], reference[:, order])

    np.testing.assert_allclose(again, metric(candidate, reference), rtol=1e-9, atol=1e-12)


@repeatable
@given(ordered, permutations)
def test_a_rows_own_metrics_follow_its_words(row: Values, order: list[int]) -> None:
    """The choice is the same word by its new number; size and finiteness are what they were."""
    moved_rows = row[:, order]

    assert np.asarray(order)[metrics.choice(moved_rows)].tolist() == metrics.choice(row).tolist()
    np.testing.assert_allclose(metrics.root_mean_square(moved_rows), metrics.root_mean_square(row), rtol=1e-12)
    assert metrics.finite(moved_rows).all()


@every_metric
@repeatable
@given(ordered, ordered, st.permutations(range(POSITIONS)))
def test_positions_do_not_know_each_other(
    metric: Metric, candidate: Values, reference: Values, order: list[int]
) -> None:
    """Alone or in another order each has the value that it has among the others."""
    together = metric(candidate, reference)

    np.testing.assert_allclose(metric(candidate[order], reference[order]), together[order], rtol=1e-12)
    for index in range(POSITIONS):
        alone = metric(candidate[index : index + 1], reference[index : index + 1])
        np.testing.assert_allclose(alone, together[index : index + 1], rtol=1e-12)


@pytest.mark.parametrize("metric", [*SIMILARITIES, metrics.max_abs_diff, metrics.mean_abs_diff, metrics.top_k_overlap])
@repeatable
@given(ordered, ordered)
def test_symmetric_ones_do_not_know_the_sides(metric: Metric, candidate: Values, reference: Values) -> None:
    """Relative error and KL are the others: they are relative to the reference, and weighted by it."""
    np.testing.assert_allclose(metric(candidate, reference), metric(reference, candidate), rtol=1e-12, atol=1e-15)


def test_relative_error_and_kl_know_the_sides() -> None:
    """Else the reference could be put in the candidate's place and nobody would notice."""
    candidate, reference = np.array([[3.0, 0.0, 1.0]]), np.array([[0.0, 5.0, 1.0]])

    for metric in (metrics.relative_l2, metrics.kl_divergence):
        assert abs(metric(candidate, reference)[0] - metric(reference, candidate)[0]) > 0.1


@pytest.mark.parametrize("metric", SIMILARITIES)
@repeatable
@given(ordered, ordered, scales, scales)
def test_direction_has_no_scale(metric: Metric, candidate: Values, reference: Values, one: float, other: float) -> None:
    """Of either side, and a negative one turns it round."""
    sides = directed(candidate, reference)
    before = metric(*sides)

    np.testing.assert_allclose(metric(one * sides[0], other * sides[1]), before, rtol=1e-12)
    np.testing.assert_allclose(metric(-one * sides[0], sides[1]), -before, rtol=1e-12)


@repeatable
@given(ordered, ordered, scales, shifts, shifts)
def test_pearson_ignores_affine_maps(
    candidate: Values, reference: Values, scale: float, mine: float, theirs: float
) -> None:
    """Of either side, where the cosine sees a shift."""
    sides = directed(candidate, reference)
    before = metrics.pearson(*sides)

    np.testing.assert_allclose(metrics.pearson(scale * sides[0] + mine, sides[1] + theirs), before, atol=1e-9)
    assert (np.abs(metrics.cosine(sides[0] - 1000, sides[1]) - metrics.cosine(*sides)) > 1e-3).all()


@repeatable
@given(ordered, ordered, st.floats(-4, 4), scales)
def test_relative_error_is_homogeneous(candidate: Values, reference: Values, share: float, scale: float) -> None:
    """A share of the way has that share of the error; a unit that both sides share does not matter."""
    sides = directed(candidate, reference)
    whole = metrics.relative_l2(*sides)
    part = metrics.relative_l2(sides[1] + share * (sides[0] - sides[1]), sides[1])

    np.testing.assert_allclose(part, abs(share) * whole, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(metrics.relative_l2(scale * sides[0], scale * sides[1]), whole, rtol=1e-12)


@repeatable
@given(ordered, st.floats(0.01, 100))
def test_scale_is_seen_by_relative_error_alone(row: Values, scale: float) -> None:
    """Why a cosine alone is no gate: logits scaled by 1.05 have a cosine of 1 and a relative error of 5 %."""
    (steep,) = directed(row)

    np.testing.assert_allclose(metrics.cosine(steep * scale, steep), 1, rtol=1e-9)
    np.testing.assert_allclose(metrics.relative_l2(steep * scale, steep), abs(scale - 1), rtol=1e-6, atol=1e-9)


@repeatable
@given(rows, rows, shifts, shifts)
def test_kl_ignores_a_common_shift(candidate: Values, reference: Values, mine: float, theirs: float) -> None:
    """Of either side: softmax does not see it, and so a row and its shifted copy have no divergence."""
    before = metrics.kl_divergence(candidate, reference)

    np.testing.assert_allclose(metrics.kl_divergence(candidate + mine, reference + theirs), before, atol=1e-9)
    np.testing.assert_allclose(metrics.kl_divergence(reference + mine, reference), 0, atol=1e-12)


@repeatable
@given(ordered, ordered, st.sampled_from([np.arctan, np.cbrt, lambda x: 3 * x - 7, lambda x: np.exp(x / 10)]))
def test_order_ignores_monotone_maps(candidate: Values, reference: Values, rising: Callable[[Values], Values]) -> None:
    """Of either side, differently; what falls turns the order round."""
    before = metrics.top_k_overlap(candidate, reference)

    np.testing.assert_array_equal(metrics.top_k_overlap(rising(candidate), reference), before)
    np.testing.assert_array_equal(metrics.top_k_overlap(candidate, rising(reference)), before)
    np.testing.assert_array_equal(metrics.choice(rising(candidate)), metrics.choice(candidate))
    np.testing.assert_array_equal(metrics.top_k_overlap(-candidate, candidate, k=5), 0)
