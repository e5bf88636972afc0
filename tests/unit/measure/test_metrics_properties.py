"""Every metric against sums in plain Python, and by what must hold of it whatever the logits; it fails closed."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tests.unit.helpers import row_metrics as metrics
from tests.unit.helpers.plain_metrics import PLAIN, Metric, plain_dot, plain_probabilities

Values = NDArray[np.float64]
POSITIONS, VOCABULARY = 3, 11

repeatable = settings(derandomize=True, deadline=None, max_examples=60)
rows = arrays(np.float32, (POSITIONS, VOCABULARY), elements=st.floats(-50, 50, width=32)).map(np.float64)
# No two words have the same logit, and none is so near another that a map could make them equal.
ordered = arrays(np.int64, (POSITIONS, VOCABULARY), elements=st.integers(-500, 500), unique=True).map(lambda n: n / 10)
permutations = st.permutations(range(VOCABULARY))
# Exact in float64, so that what must be invariant is so bit for bit.
scales = st.sampled_from([2.0**power for power in range(-8, 9)])
shifts = st.integers(-160, 160).map(lambda n: n / 8)
eighths = st.integers(1, 80).map(lambda n: n / 8)


ERRORS = (metrics.relative_l2, metrics.kl_divergence, metrics.max_abs_diff, metrics.mean_abs_diff)
SIMILARITIES = (metrics.cosine, metrics.pearson)
every_metric = pytest.mark.parametrize("metric", PLAIN)


def directed(*sides: Values) -> tuple[Values, ...]:
    """The same with no row of zeros and none of equal logits."""
    return tuple(side + np.arange(1, VOCABULARY + 1) * 200 for side in sides)


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
@given(rows, rows, shifts, shifts)
def test_kl_ignores_a_common_shift(candidate: Values, reference: Values, mine: float, theirs: float) -> None:
    """Of either side: softmax does not see it, and so a row and its shifted copy have no divergence."""
    before = metrics.kl_divergence(candidate, reference)

    np.testing.assert_allclose(metrics.kl_divergence(candidate + mine, reference + theirs), before, atol=1e-9)
    np.testing.assert_allclose(metrics.kl_divergence(reference + mine, reference), 0, atol=1e-12)


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
@given(ordered, ordered, st.sampled_from([np.arctan, np.cbrt, lambda x: 3 * x - 7, lambda x: np.exp(x / 10)]))
def test_order_ignores_monotone_maps(candidate: Values, reference: Values, rising: Callable[[Values], Values]) -> None:
    """Of either side, differently; what falls turns the order round."""
    before = metrics.top_k_overlap(candidate, reference)

    np.testing.assert_array_equal(metrics.top_k_overlap(rising(candidate), reference), before)
    np.testing.assert_array_equal(metrics.top_k_overlap(candidate, rising(reference)), before)
    np.testing.assert_array_equal(metrics.choice(rising(candidate)), metrics.choice(candidate))
    np.testing.assert_array_equal(metrics.top_k_overlap(-candidate, candidate, k=5), 0)


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
