"""Intervals of rates cover what they say where positions of a prompt are correlated; formulas are those of others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from npu_conformance.measure.rates import INTRACLASS, effective_n, intraclass, rate_interval, times_needed, worth
from tests.unit.helpers.answer_lengths import LEAST, RUNS, answer_lengths


def drawn(rng: np.random.Generator, sizes: np.ndarray, rate: float, correlation: float) -> np.ndarray:
    """Hits of each prompt, whose positions have a correlation."""
    spread = np.inf if correlation == 0 else (1 - correlation) / correlation
    rates = rate if correlation == 0 else rng.beta(rate * spread, (1 - rate) * spread, len(sizes))
    return np.asarray(rng.binomial(sizes, rates))


@pytest.mark.parametrize("prompts", [12, 40])
@pytest.mark.parametrize("rate", [0.5, 0.9, 0.97, 0.99, 0.995])
@pytest.mark.parametrize(
    ("correlation", "least"), [(0.0, LEAST), (INTRACLASS, LEAST), (0.05, LEAST), (0.1, LEAST), (0.2, 0.88)]
)
def test_each_end_of_a_rate_covers(prompts: int, rate: float, correlation: float, least: float) -> None:
    """Where positions of a prompt are correlated as is assumed, and three times as much; more costs some of it."""
    rng = np.random.default_rng(prompts)
    covered = np.zeros(2)
    for _ in range(RUNS):
        sizes = answer_lengths(rng, prompts)
        hits = drawn(rng, sizes, rate, correlation)
        low, high = rate_interval(int(hits.sum()), int(sizes.sum()), worth(hits, sizes))
        covered += low <= rate, rate <= high

    assert (covered / RUNS >= least).all()


def test_a_correlation_that_is_not_looked_for_is_missed() -> None:
    """With the assumed correlation alone, an interval at 0.97 covers far too little where it is 0.2."""
    rng = np.random.default_rng(40)
    covered = 0
    for _ in range(RUNS):
        sizes = answer_lengths(rng, 40)
        low, high = rate_interval(int(drawn(rng, sizes, 0.97, 0.2).sum()), int(sizes.sum()), effective_n(sizes))
        covered += low <= 0.97 <= high

    assert covered / RUNS < 0.85


@pytest.mark.parametrize("correlation", [0.0, 0.05, 0.2, 0.5])
def test_the_correlation_is_estimated(correlation: float) -> None:
    """Of many prompts of unequal lengths, nearly without a bias."""
    rng = np.random.default_rng(7)
    sizes = answer_lengths(rng, 400)
    found = [intraclass(drawn(rng, sizes, 0.8, correlation), sizes) for _ in range(50)]
    assert np.mean(found) == pytest.approx(correlation, abs=0.01)


def test_the_correlation_by_hand() -> None:
    """Prompts of all hits or none are wholly correlated; equal rates in all are less alike than chance makes them."""
    assert intraclass([10, 0, 10, 0], [10] * 4) == pytest.approx(1)
    assert intraclass([5, 5, 5], [10] * 3) == pytest.approx(-1 / 9)


@pytest.mark.parametrize(
    ("hits", "lengths"), [([10, 10, 10], [10] * 3), ([0, 0, 0], [10] * 3), ([9, 2], [10, 10]), ([1, 0, 1], [1] * 3)]
)
def test_without_an_estimate_the_assumed_correlation_stands(hits: list[int], lengths: list[int]) -> None:
    """Nothing missed, nothing hit, two prompts, single positions."""
    assert intraclass(hits, lengths) == 0
    assert worth(hits, lengths) == effective_n(lengths)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1)), min_size=1, max_size=30))
def test_an_estimate_never_makes_an_interval_narrower(prompts: list[tuple[int, float]]) -> None:
    """Positions are worth no more than with the assumed correlation, and something."""
    lengths = [length for length, _ in prompts]
    assert 0 < worth([round(length * share) for length, share in prompts], lengths) <= effective_n(lengths)


def test_mismatches_of_one_prompt_are_worth_less_than_as_many_of_all() -> None:
    """Eight in one answer of ten say less of the rate than one each in eight."""
    scattered, together = [9] * 8 + [10] * 12, [2] + [10] * 19
    widths = [np.ptp(rate_interval(192, 200, worth(hits, [10] * 20))) for hits in (scattered, together)]
    assert widths[1] > 1.3 * widths[0]


def test_how_many_times_as_many_settle_it() -> None:
    """The interval of so many keeps the limit, of a twentieth fewer it does not; none does at a rate that breaks it."""
    times = times_needed(99, 100, 80, lambda interval: interval[0] >= 0.97)
    assert times is not None
    for more, kept in ((times, True), (times / 1.05, False)):
        n = round(100 * more)
        assert (rate_interval(0.99 * n, n, 80 * more)[0] >= 0.97) is kept
    assert times_needed(96, 100, 80, lambda interval: interval[0] >= 0.97) is None


def test_effective_n_by_hand() -> None:
    """Equal clusters have the textbook's design effect; single positions are independent."""
    assert effective_n([20] * 10, 0.05) == pytest.approx(200 / (1 + 19 * 0.05))
    assert effective_n([1] * 7) == 7
    assert effective_n([20] * 10, 0.0) == 200


@settings(deadline=None)  # the first imports scipy.special
@given(st.integers(0, 60), st.integers(1, 60))
def test_rate_intervals_of_independent_positions_are_clopper_and_pearsons(hits: int, n: int) -> None:
    """By scipy's own, one-sided."""
    hits = min(hits, n)
    ends = (
        stats.binomtest(hits, n, alternative=side).proportion_ci(0.95, method="exact") for side in ("greater", "less")
    )
    above, below = ends

    assert rate_interval(hits, n, n) == pytest.approx((above.low, below.high))
