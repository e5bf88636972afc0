"""Tails of samples: their chances are those of the samples' kinds, or larger."""

import numpy as np
import pytest

from npu_conformance.measure.tails import fit_tail


def test_the_tail_of_an_exponential_is_itself() -> None:
    """And what it reaches with a chance has that chance."""
    rng = np.random.default_rng(1)
    tail = fit_tail(rng.exponential(2.0, 20000))

    assert tail.scale == pytest.approx(2.0, rel=0.1)
    assert tail.chance(tail.reach(1e-4, 1000), 1000) == pytest.approx(1e-4)
    assert tail.chance(-1.0, 1000) == pytest.approx(1 - 0.95**1000)


def test_beyond_a_sample_of_one_value_is_a_surprise() -> None:
    """There is no tail to measure; what reaches no further is none."""
    tail = fit_tail(np.full(200, -7.0))

    assert (tail.chance(-7.0, 1000), tail.chance(-6.9, 1000), tail.reach(1e-4, 1000)) == (1.0, 0.0, -7.0)


@pytest.mark.parametrize(("kept", "rate"), [(300, 0.01), (300, 0.001), (3000, 0.001)])
def test_the_largest_of_few_exponential_values_is_not_surprising(kept: int, rate: float) -> None:
    """Though the scale of their tail was measured on fifteen of them."""
    rng = np.random.default_rng(kept)
    runs = 4000
    p_values = [fit_tail(rng.exponential(size=kept)).chance(rng.exponential(size=100).max(), 100) for _ in range(runs)]

    assert (np.array(p_values) <= rate).mean() <= rate + 3 * (rate * (1 - rate) / runs) ** 0.5


def test_the_largest_of_normal_values_is_not_surprising() -> None:
    """The exponential overstates a normal's tail, so chances of the largest are not understated."""
    rng = np.random.default_rng(2)
    p_values = np.array([fit_tail(rng.normal(size=2000)).chance(rng.normal(size=1000).max(), 1000) for _ in range(500)])

    for rate in (0.2, 0.05, 0.01):
        assert (p_values <= rate).mean() <= rate + 3 * (rate * (1 - rate) / 500) ** 0.5


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_the_largest_of_few_normal_values_is_not_surprising(share: float) -> None:
    """A hundred of a sample, of which a fifth is its tail, or a twentieth."""
    rng, runs = np.random.default_rng(3), 2000
    p_values = [fit_tail(rng.normal(size=100), share).chance(rng.normal(size=25).max(), 25) for _ in range(runs)]

    assert (np.array(p_values) <= 0.01).mean() <= 0.01
