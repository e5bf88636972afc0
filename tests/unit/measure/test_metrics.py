"""Metrics against scipy's, by hand, and refusing other shapes; what must always hold: test_metrics_properties.py."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cosine as scipy_cosine_distance
from scipy.special import log_softmax, logsumexp, rel_entr, softmax
from scipy.stats import pearsonr

from npu_conformance.measure import metrics as measuring
from tests.unit.helpers import row_metrics as metrics

Rows = NDArray[np.float64]
PAIRED: list[Callable[[ArrayLike, ArrayLike], Rows]] = [
    metrics.cosine,
    metrics.pearson,
    metrics.relative_l2,
    metrics.kl_divergence,
    metrics.max_abs_diff,
    metrics.mean_abs_diff,
    metrics.top_k_overlap,
]


@pytest.fixture
def pair() -> tuple[Rows, Rows]:
    """Twenty positions of 500 words, 5 % apart."""
    rng = np.random.default_rng(3)
    reference = rng.normal(size=(20, 500)) * 5
    return reference + rng.normal(size=reference.shape) * 0.25, reference


def test_cosine_is_scipys(pair: tuple[Rows, Rows]) -> None:
    """One minus the cosine distance."""
    expected = [1 - scipy_cosine_distance(c, r) for c, r in zip(*pair, strict=True)]

    np.testing.assert_allclose(metrics.cosine(*pair), expected, rtol=1e-12)


def test_pearson_is_scipys(pair: tuple[Rows, Rows]) -> None:
    """Scipy's correlation coefficient."""
    expected = [pearsonr(c, r).statistic for c, r in zip(*pair, strict=True)]

    np.testing.assert_allclose(metrics.pearson(*pair), expected, rtol=1e-12)


def test_kl_is_scipys_relative_entropy_of_the_softmaxes(pair: tuple[Rows, Rows]) -> None:
    """Reference first, candidate second: the direction matters."""
    candidate, reference = pair
    expected = rel_entr(softmax(reference, axis=1), softmax(candidate, axis=1)).sum(axis=1)

    np.testing.assert_allclose(metrics.kl_divergence(candidate, reference), expected, rtol=1e-9)
    assert (metrics.kl_divergence(reference, candidate) != metrics.kl_divergence(candidate, reference)).all()


def test_log_sums_are_scipys(pair: tuple[Rows, Rows]) -> None:
    """Of both sides, also where they are far apart; NaN where a logit is not finite."""
    candidate, reference = pair
    far = candidate * 3 - 40
    far[4, 17] = np.inf
    for side in (candidate, far):
        found = measuring.measured(side, reference).log_sums
        expected = np.stack([logsumexp(side, axis=1), logsumexp(reference, axis=1)], axis=1)
        expected[~np.isfinite(side).all(axis=1)] = np.nan
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_kl_of_a_case_done_by_hand() -> None:
    """P = (1/2, 1/2), q = (1/4, 3/4): KL = log(2)/2 + log(2/3)/2."""
    reference, candidate = np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])

    assert metrics.kl_divergence(candidate, reference)[0] == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3))


def test_choice_is_the_largest_and_the_first_of_equals() -> None:
    """As greedy sampling does it; a NaN leaves no choice."""
    rows = np.array([[0.0, 2.0, 2.0], [3.0, 1.0, 2.0], [0.0, np.nan, 9.0]])

    assert metrics.choice(rows).tolist() == [1, 0, -1]


@pytest.mark.parametrize("metric", PAIRED)
@pytest.mark.parametrize("side", [0, 1])
def test_nan_gives_nan_never_a_passing_number(
    metric: Callable[[ArrayLike, ArrayLike], Rows], side: int, pair: tuple[Rows, Rows]
) -> None:
    """At the position that has it, and only there."""
    pair[side][4, 17] = np.nan
    values = metric(*pair)

    assert np.isnan(values[4])
    assert np.isfinite(np.delete(values, 4)).all()


@pytest.mark.parametrize("metric", PAIRED)
@pytest.mark.parametrize("shapes", [((3, 5), (3, 6)), ((3, 5), (2, 5)), ((5,), (5,)), ((3, 0), (3, 0))])
def test_unequal_shapes_are_refused(
    metric: Callable[[ArrayLike, ArrayLike], Rows], shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    """Nothing is broadcast, cut short or compared with nothing."""
    with pytest.raises(ValueError, match="need equal"):
        metric(*(np.zeros(shape) for shape in shapes))


def test_float64_matters() -> None:
    """A float32 log-softmax over a real vocabulary is off by more than a good engine's KL."""
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(2, 151_936)).astype(np.float32) * 3
    candidate = reference + rng.normal(size=reference.shape).astype(np.float32) * 1e-4
    exact = metrics.kl_divergence(candidate, reference)
    left, right = log_softmax(candidate, axis=1), log_softmax(reference, axis=1)
    in_float32 = (np.exp(right) * (right - left)).sum(axis=1)

    assert exact.dtype == np.float64
    assert (np.abs(in_float32 - exact) > exact).all()


def test_a_vocabulary_of_several_blocks_is_summed_whole() -> None:
    """As are its largest words found, wherever they stand, and the last block that is not full."""
    rng = np.random.default_rng(5)
    reference = (rng.normal(size=(4, 20_011)) * 3).astype(np.float32)
    candidate = reference + (rng.normal(size=reference.shape) * [[0.001], [0.02], [0.3], [2.0]]).astype(np.float32)
    reference[:, [0, 8191, 8192, 20_010]] += 30
    wide = [side.astype(np.float64) for side in (candidate, reference)]
    error = wide[0] - wide[1]

    np.testing.assert_allclose(
        metrics.cosine(candidate, reference), [1 - scipy_cosine_distance(*p) for p in zip(*wide, strict=True)]
    )
    np.testing.assert_allclose(
        metrics.pearson(candidate, reference), [pearsonr(*p).statistic for p in zip(*wide, strict=True)]
    )
    np.testing.assert_allclose(metrics.mean_abs_diff(candidate, reference), np.abs(error).mean(axis=1))
    np.testing.assert_array_equal(metrics.max_abs_diff(candidate, reference), np.abs(error).max(axis=1))
    expected = rel_entr(softmax(wide[1], axis=1), softmax(wide[0], axis=1)).sum(axis=1)
    np.testing.assert_allclose(metrics.kl_divergence(candidate, reference), expected, rtol=1e-6)
    tops = [[set(np.argsort(row)[-5:].tolist()) for row in side] for side in wide]
    shared = [len(mine & theirs) / 5 for mine, theirs in zip(*tops, strict=True)]
    assert metrics.top_k_overlap(candidate, reference).tolist() == shared


def test_the_divergence_of_hardly_different_rows_keeps_its_digits() -> None:
    """A shift of all logits changes nothing of it, and a difference of two logarithms would have lost it."""
    rng = np.random.default_rng(6)
    reference = rng.normal(size=(1, 5000)) * 3
    error = rng.normal(size=reference.shape) * 1e-5
    likely = softmax(reference, axis=1)
    # Half the variance of the error under the reference's distribution, the first term of its series.
    expected = ((error - (likely * error).sum()) ** 2 * likely).sum() / 2

    for shift in (0.0, 40.0):
        found = metrics.kl_divergence(reference + error + shift, reference)[0]
        assert found == pytest.approx(expected, rel=1e-4)


def test_a_word_that_the_reference_holds_for_impossible_counts_where_the_candidate_chooses_it() -> None:
    """Its probability is nothing that a float32 can hold."""
    reference = np.full((1, 1000), -130, dtype=np.float32)
    reference[0, 0] = 0
    candidate = reference.copy()
    candidate[0, 5] = 10

    assert metrics.kl_divergence(candidate, reference)[0] == pytest.approx(np.log1p(np.exp(10)), rel=1e-9)


def test_rows_measured_on_many_threads_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, each once."""
    random = np.random.default_rng(4)
    reference = random.normal(size=(11, 20_000))
    candidate = reference + random.normal(scale=0.01, size=reference.shape)
    found = {}
    for threads in (1, 3):
        monkeypatch.setattr(measuring, "host_cores", partial(int, threads))
        found[threads] = measuring.measured(candidate, reference)

    assert all(np.array_equal(*both) for both in zip(found[3], found[1], strict=True))
    assert found[3].max_abs.tolist() == np.abs(candidate - reference).max(axis=1).tolist()
