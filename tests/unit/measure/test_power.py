"""How often the gates find a fault that is small beside a model's own rounding, and how often they are wrong.

Simulated runs of 40 prompts, whose errors scatter as twins' do. A night is one of five models in eight variants.
"""

from collections.abc import Callable

import numpy as np
import pytest

from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.measure.noise import family
from npu_conformance.run.shares import share_of
from tests.unit.helpers.rounded_rows import LIMITS, PROMPTS, Rows, measured, references, rounded

NIGHT = share_of("base", 5 * ["base", "as_served", *["another"] * 6])
RUNS = 40


def run_of(exact: Rows, seed: int, times: float = 1) -> Rows:
    """A run that errs so many times as the floor does; positions scatter by 0.18, prompts by 0.05, as twins' do."""
    return rounded(exact, seed, 0.005 * times, scatter=0.15)


def twice(prompts: int, seed: int, exact: Rows) -> Rows:
    """A run in which some prompts err twice as much, from their first token to their last."""
    run, worse = run_of(exact, seed), run_of(exact, seed, 2)
    chosen = np.random.default_rng(seed).choice(PROMPTS, prompts, replace=False)
    return [worse[place] if place in chosen else one for place, one in enumerate(run)]


def one_prompt(seed: int, exact: Rows) -> Rows:
    """The only prompt of its kind."""
    return twice(1, seed, exact)


def four_prompts(seed: int, exact: Rows) -> Rows:
    """A language, say."""
    return twice(4, seed, exact)


def one_position(seed: int, exact: Rows) -> Rows:
    """A single position that errs six times as much."""
    run, worse = run_of(exact, seed), run_of(exact, seed, 6)
    prompt = seed % PROMPTS
    run[prompt][3] = worse[prompt][3]
    return run


def clean(seed: int, exact: Rows) -> Rows:
    """Nothing wrong."""
    return run_of(exact, seed)


def flagged(run: Callable[[int, Rows], Rows], seed: int, chance: float) -> bool:
    """Whether any gate fails such a run, against four floor runs."""
    exact = references(seed)
    floor = {str(one): measured(run_of(exact, 1000 * seed + one), exact) for one in range(4)}
    candidate = measured(run(1000 * seed + 10, exact), exact)
    judged = family(candidate, None, floor, LIMITS, chance)
    return any(not p_value > chance for p_value in judged.adjusted.values())


@pytest.mark.parametrize(
    ("run", "chance", "least"),
    [
        (one_prompt, FALSE_ALARMS, 0.95),
        (one_prompt, NIGHT, 0.8),
        (four_prompts, NIGHT, 0.95),
        (one_position, NIGHT, 0.9),
    ],
)
def test_a_small_fault_is_found(run: Callable[[int, Rows], Rows], chance: float, least: float) -> None:
    """In so many of 40 runs."""
    assert sum(flagged(run, seed, chance) for seed in range(RUNS)) >= least * RUNS


def test_a_run_without_a_fault_is_hardly_ever_flagged() -> None:
    """At the rate of a run of one variant: 1 in 100, so 4 of 100 would be a chance of 1 in 50."""
    assert sum(flagged(clean, seed, FALSE_ALARMS) for seed in range(100)) < 4
