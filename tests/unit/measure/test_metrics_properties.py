"""Every metric against sums in plain Python, and by what must hold of it whatever the logits; it fails closed."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.helpers import row_metrics as metrics
from tests.unit.helpers.drawn_rows import (
    ERRORS,
    POSITIONS,
    SIMILARITIES,
    VOCABULARY,
    Values,
    directed,
    eighths,
    every_metric,
    ordered,
    repeatable,
    rows,
    scales,
    shifts,
)
from tests.unit.helpers.plain_metrics import PLAIN, Metric, plain_dot, plain_probabilities


@every_metric
@repeatable
@given(ordered, ordered)
def test_a_metric_is_its_definition(metric: Metric, candidate: Values, reference: Values) -> None:
    """In another order of summing, with another library."""
    expected = [PLAIN[metric](*pair) for pair in zip(candidate.tolist(), reference.tolist(), strict=True)]

    np.testing.assert_allclose(metric(candidate, reference), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", [metric for metric in PLAIN if metric is not metrics.top_k_overlap])
@repeatable
@given(rows, rows)
def test_also_where_logits_are_equal_or_zero(metric: Metric, candidate: Values, reference: Values) -> None:
    """Which may leave no direction, and so no number."""
    expected = [PLAIN[metric](*pair) for pair in zip(candidate.tolist(), reference.tolist(), strict=True)]

    np.testing.assert_allclose(metric(candidate, reference), expected, rtol=1e-9, atol=1e-9)


@repeatable
@given(rows, rows)
def test_bounds(candidate: Values, reference: Values) -> None:
    """Errors are not negative, cosine and Pearson stay in [-1, 1], overlap is a number of fifths."""
    for metric in ERRORS:
        values = metric(candidate, reference)
        assert (values[~np.isnan(values)] >= 0).all()
    for metric in SIMILARITIES:
        values = metric(candidate, reference)
        assert (np.abs(values[~np.isnan(values)]) <= 1 + 1e-12).all()
    fifths = 5 * metrics.top_k_overlap(candidate, reference)
    assert (np.isin(np.round(fifths), range(6)) & (np.abs(fifths - np.round(fifths)) < 1e-12)).all()
    mean, largest = (metric(candidate, reference) for metric in (metrics.mean_abs_diff, metrics.max_abs_diff))
    assert (mean <= largest * (1 + 1e-12)).all()
    assert (largest <= mean * VOCABULARY * (1 + 1e-12)).all()
    size, most = metrics.root_mean_square(reference), np.abs(reference).max(axis=1)
    assert (size <= most * (1 + 1e-12)).all()
    assert (size >= most / math.sqrt(VOCABULARY) * (1 - 1e-12)).all()


@pytest.mark.parametrize("metric", ERRORS)
@repeatable
@given(rows)
def test_a_row_compared_with_itself_has_no_error(metric: Metric, row: Values) -> None:
    """The exact-zero control: no metric has noise of its own. Relative to a row of zeros there is no error at all."""
    values = metric(row, row)
    lost = (row == 0).all(axis=1) if metric is metrics.relative_l2 else np.zeros(POSITIONS, dtype=bool)

    np.testing.assert_array_equal(values[~lost], 0)
    assert np.isnan(values[lost]).all()


@repeatable
@given(rows)
def test_a_row_compared_with_itself_agrees(row: Values) -> None:
    """Overlap to the last bit, and the choice; cosine and Pearson but for the rounding of their roots."""
    (steep,) = directed(row)

    np.testing.assert_array_equal(metrics.top_k_overlap(row, row), 1)
    np.testing.assert_array_equal(metrics.choice(row), metrics.choice(row.copy()))
    for metric in SIMILARITIES:
        np.testing.assert_allclose(metric(steep, steep), 1, rtol=1e-12)


@pytest.mark.parametrize("metric", [metrics.max_abs_diff, metrics.mean_abs_diff])
@repeatable
@given(ordered, ordered, ordered, scales)
def test_differences_are_distances(metric: Metric, one: Values, other: Values, third: Values, scale: float) -> None:
    """No way round is shorter, a common part does not matter, and they are in logits' own unit."""
    straight = metric(one, other)

    assert (straight <= (metric(one, third) + metric(third, other)) * (1 + 1e-12)).all()
    np.testing.assert_allclose(metric(one + third, other + third), straight, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(metric(scale * one, scale * other), scale * straight)


@repeatable
@given(rows, rows)
def test_kl_is_nought_only_where_the_softmaxes_are_equal(candidate: Values, reference: Values) -> None:
    """Pinsker's inequality: no less than twice the square of the total variation between them."""
    pairs = zip(candidate.tolist(), reference.tolist(), strict=True)
    variation = [
        math.fsum(abs(p - q) for p, q in zip(plain_probabilities(c), plain_probabilities(r), strict=True)) / 2
        for c, r in pairs
    ]

    assert (metrics.kl_divergence(candidate, reference) >= 2 * np.square(variation) * (1 - 1e-9) - 1e-12).all()


@repeatable
@given(ordered, ordered, st.integers(1, 2 * VOCABULARY))
def test_overlap_of_any_number_of_words(candidate: Values, reference: Values, k: int) -> None:
    """One word is the choice; all of them are always shared; one more changes the count by no more than one."""
    shared = metrics.top_k_overlap(candidate, reference, k) * min(k, VOCABULARY)
    more = metrics.top_k_overlap(candidate, reference, k + 1) * min(k + 1, VOCABULARY)

    assert ((shared - 1e-9 <= more) & (more <= shared + 2 + 1e-9)).all()
    equal = metrics.choice(candidate) == metrics.choice(reference)
    np.testing.assert_array_equal(metrics.top_k_overlap(candidate, reference, 1), equal.astype(float))
    np.testing.assert_array_equal(metrics.top_k_overlap(candidate, reference, VOCABULARY), 1)


@repeatable
@given(rows, scales, shifts)
def test_root_mean_square_is_a_size(row: Values, scale: float, level: float) -> None:
    """By its definition; of a level row it is the level."""
    expected = [math.sqrt(plain_dot(one, one) / VOCABULARY) for one in row.tolist()]

    np.testing.assert_allclose(metrics.root_mean_square(row), expected, rtol=1e-12)
    np.testing.assert_allclose(metrics.root_mean_square(scale * row), np.multiply(scale, expected), rtol=1e-12)
    np.testing.assert_allclose(metrics.root_mean_square(np.full((1, 7), level)), abs(level), rtol=1e-12)


@repeatable
@given(shifts, eighths, eighths, eighths, scales)
def test_a_tie_is_symmetric_and_has_no_unit(
    margin: float, rms: float, width: float, wider: float, scale: float
) -> None:
    """Whoever is ahead; a wider tie holds whatever a narrower one does, and equal logits are always one."""
    tied = bool(metrics.tied(margin, rms, width))

    assert tied == bool(metrics.tied(-margin, rms, width)) == bool(metrics.tied(scale * margin, scale * rms, width))
    assert not tied or metrics.tied(margin, rms, width + wider)
    assert metrics.tied(0.0, rms, width)


@pytest.mark.parametrize("place", range(3))
def test_nan_is_no_tie(place: int) -> None:
    """Of a margin, a size or a width."""
    words = [0.0, 1.0, 1.0]
    words[place] = math.nan

    assert not metrics.tied(*words)


@pytest.mark.parametrize("metric", [metric for metric in PLAIN if metric is not metrics.top_k_overlap])
@repeatable
@given(
    ordered,
    ordered,
    st.sampled_from([np.nan, np.inf, -np.inf]),
    st.sampled_from([(0,), (1,), (0, 1)]),
    st.integers(0, POSITIONS - 1),
    st.integers(0, VOCABULARY - 1),
)
def test_what_is_not_finite_keeps_no_limit(
    metric: Metric, candidate: Values, reference: Values, value: float, sides: Sequence[int], at: int, word: int
) -> None:
    """On either side or both, however wide the limit; only the order of words survives an infinity."""
    for side in sides:
        (candidate, reference)[side][at, word] = value
    found = float(metric(candidate, reference)[at])

    assert not (found >= -1e300 if metric in SIMILARITIES else found <= 1e300)
    assert np.isfinite(np.delete(metric(candidate, reference), at)).all()


@pytest.mark.parametrize("metric", PLAIN)
def test_no_positions_have_no_values(metric: Metric) -> None:
    """And a trace without any is refused, see test_gates_incomparable.py."""
    assert metric(np.empty((0, VOCABULARY)), np.empty((0, VOCABULARY))).shape == (0,)
