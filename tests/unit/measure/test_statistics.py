"""Intervals cover what they say, tests reject no more than they say, and formulas are those of others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from npu_conformance.measure.statistics import (
    count_above,
    count_reached,
    holm,
    log_mean_error,
    loss_interval,
    mean_above,
    mean_beyond,
    mean_interval,
    more_often,
)
from tests.unit.helpers.answer_lengths import LEAST, RUNS, answer_lengths

# Of a share near 0.95 over that many runs: three standard errors.
NOISE = 3 * (0.95 * 0.05 / RUNS) ** 0.5


@pytest.mark.parametrize("prompts", [12, 40])
@pytest.mark.parametrize("spread", [0.1, 0.5, 1.5])
def test_intervals_of_log_means_cover(prompts: int, spread: float) -> None:
    """Of prompts of unequal lengths, whose positions scatter besides."""
    rng = np.random.default_rng(prompts)
    covered = rejected = 0
    for _ in range(RUNS):
        sizes = answer_lengths(rng, prompts)
        values = rng.normal(0.2, spread, prompts) + rng.normal(0, 1.2, prompts) / np.sqrt(sizes)
        tested = mean_above(values, 0.2)
        assert tested.interval is not None
        covered += tested.interval[0] <= 0.2 <= tested.interval[1]
        rejected += tested.p_value <= 0.05

    assert covered / RUNS >= LEAST
    assert rejected / RUNS <= 0.05 + NOISE


@pytest.mark.parametrize("prompts", [12, 40])
@pytest.mark.parametrize("between", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("within", [0.3, 0.8])
def test_intervals_of_means_cover(prompts: int, between: float, within: float) -> None:
    """Of errors skewed from prompt to prompt and from position to position; the twins' logs spread by 0.7 and 0.6."""
    rng = np.random.default_rng(prompts)
    truth, covered = np.exp((between**2 + within**2) / 2), 0
    for _ in range(RUNS):
        sizes, levels = answer_lengths(rng, prompts), rng.normal(0, between, prompts)
        errors = [np.exp(rng.normal(level, within, size)).mean() for level, size in zip(levels, sizes, strict=True)]
        interval = mean_interval(errors, sizes)
        assert interval is not None
        covered += interval[0] <= truth <= interval[1]

    assert covered / RUNS >= LEAST


def coverage(prompts: int, between: float, within: float, *, growth: float = 0.0, far: float = 0.0) -> float:
    """Share of samples whose interval holds the mean.

    Args:
        prompts: in a sample.
        between: spread of prompts' logarithms.
        within: of positions'.
        growth: of the error with each position of an answer, in units of the first's.
        far: share of prompts with ten times the error.
    """
    rng, steps = np.random.default_rng(prompts), np.arange(48)
    many = answer_lengths(rng, 10**5)
    grown = np.cumsum(1 + growth * steps)[many - 1].sum() / many.sum()
    truth, covered = np.exp((between**2 + within**2) / 2) * grown * (1 + 9 * far), 0
    for _ in range(RUNS):
        sizes = answer_lengths(rng, prompts)
        levels = np.exp(rng.normal(0, between, prompts)) * np.where(rng.random(prompts) < far, 10, 1)
        errors = [
            level * (np.exp(rng.normal(0, within, size)) * (1 + growth * steps[:size])).mean()
            for level, size in zip(levels, sizes, strict=True)
        ]
        interval = mean_interval(errors, sizes)
        assert interval is not None
        covered += interval[0] <= truth <= interval[1]
    return covered / RUNS


@pytest.mark.parametrize(
    ("prompts", "growth", "least"),
    [(12, 1 / 32, LEAST), (40, 1 / 32, LEAST), (12, 1 / 16, LEAST), (40, 1 / 16, LEAST), (12, 1 / 8, 0.91)],
)
def test_intervals_of_means_cover_where_errors_grow_along_answers(prompts: int, growth: float, least: float) -> None:
    """In answers of 1 to 48 tokens a long one has more of it; by an eighth a token the last has seven times as much."""
    assert coverage(prompts, 0.5, 0.8, growth=growth) >= least


@pytest.mark.parametrize(("prompts", "least"), [(12, 0.74), (40, 0.77), (160, 0.87)])
def test_no_interval_knows_of_a_prompt_that_is_not_there(prompts: int, least: float) -> None:
    """One prompt in 20 is ten times off: 54 % of samples of 12 have none, 13 % of those of 40 (docs/verdict.md)."""
    assert least <= coverage(prompts, 0.5, 0.8, far=0.05) < LEAST


def test_one_prompt_far_off_is_seen() -> None:
    """The mean's error is that prompt's own, which logarithms make little of."""
    lengths, values = np.full(40, 10), np.r_[np.full(20, 0.9), np.full(19, 1.1), 10]
    shares = values / values.sum()
    assert log_mean_error(values, lengths) == pytest.approx(np.sqrt(40 / 39 * ((shares - 1 / 40) ** 2).sum()))
    assert log_mean_error(values, lengths) > 2 * np.std(np.log(values)) / np.sqrt(40)


def test_a_mean_of_zeros_has_no_interval() -> None:
    """Nor has one that is not known."""
    assert mean_interval([0.0, 1.0, 2.0], [5, 5, 5]) is None
    assert mean_interval([float("nan"), 1.0, 2.0], [5, 5, 5]) is None


@given(st.integers(0, 60), st.floats(0.01, 60), st.floats(1e-6, 0.5))
def test_counts_above_what_is_expected_are_tested_as_poissons(count: int, expected: float, chance: float) -> None:
    """By scipy's own; and what a chance reaches has a larger p-value, one more has not."""
    reached = count_reached(expected, chance)

    assert count_above(count, expected) == pytest.approx(stats.poisson.sf(count - 1, expected), abs=1e-12)
    assert count_above(reached + 1, expected) <= chance < count_above(reached, expected)


def test_a_mean_beyond_a_limit_on_either_side() -> None:
    """The same both ways; a mean within it is far from rejected."""
    values = np.array([1.1, 0.9, 1.0, 1.2, 0.8])

    assert mean_beyond(values, 0.1).p_value == mean_beyond(-values, 0.1).p_value < 1e-3
    assert mean_beyond(values, 1.0).p_value > 0.9
    assert mean_beyond(values - 1, 0.1).p_value == 1


def test_values_without_spread_decide_by_themselves() -> None:
    """As of a candidate that is a floor run bit for bit."""
    assert mean_above([0.5, 0.5, 0.5], 0.4) == (0.5, (0.5, 0.5), 0.0)
    assert mean_above([0.5, 0.5, 0.5], 0.5) == (0.5, (0.5, 0.5), 1.0)


def test_more_often_counts_prompts_not_positions() -> None:
    """A prompt that went astray is one event, however long it is."""
    assert more_often([40, 0, 0], [0, 0, 0]) == 0.5
    assert more_often([1] * 10, [0] * 10) == pytest.approx(2**-10)
    assert more_often([1, 0, 3], [1, 0, 3]) == 1
    assert more_often([0] * 10, [1] * 10) == 1


@pytest.mark.parametrize("prompts", [2, 3, 12])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_losses_of_which_some_are_none_end_no_higher(prompts: int, share: float) -> None:
    """The upper end is above the truth as often as it says, also of two prompts and where some have no loss at all."""
    rng = np.random.default_rng(prompts)
    above, runs = 0, 0
    truth = (1 - share) * np.exp(0.3**2 / 2)
    for _ in range(RUNS):
        values = rng.lognormal(0, 0.3, prompts) * (rng.random(prompts) >= share)
        interval = loss_interval(values, np.full(prompts, 9))
        assert interval is not None
        if values.any():
            runs += 1
            above += interval[1] >= truth

    assert above / runs >= LEAST


def test_losses_that_say_nothing_have_no_interval() -> None:
    """One prompt has no spread, NaN no place; no loss anywhere is exact."""
    assert loss_interval([0.5], [9]) is None
    assert loss_interval([0.5, float("nan")], [9, 9]) is None
    assert loss_interval([0.0, 0.0], [9, 9]) == (0, 0)
    assert loss_interval([0.5, 0.6], [9, 9]) == mean_interval([0.5, 0.6], [9, 9])


def test_what_gives_no_number_is_rejected() -> None:
    """And costs the others no more than any other would."""
    assert holm([float("nan"), 0.5]) == [0.0, 0.5]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_step_down_of_bonferroni(p_values: list[float]) -> None:
    """Rejects as going down the sorted list does, and never less than Bonferroni."""
    adjusted = holm(p_values)
    for rate in (0.01, 0.05, 0.3):
        rejected: set[int] = set()
        for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            if p_values[index] * (len(p_values) - rank) > rate:
                break
            rejected.add(index)
        assert rejected == {index for index, p_value in enumerate(adjusted) if p_value <= rate}
    assert all(own <= min(1.0, len(p_values) * p) for own, p in zip(adjusted, p_values, strict=True))


def test_an_interval_without_an_end_is_no_warning() -> None:
    """Errors of damaged rows are of any size."""
    low, high = mean_interval([1e-300, 1e300], [1, 1]) or (1.0, 1.0)

    assert low == 0
    assert high == float("inf")
