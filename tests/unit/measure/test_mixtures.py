"""The worst of many in a mixture of experts, where rounding sends a token to another expert here and there."""

from dataclasses import replace

import numpy as np
import pytest

from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.noise import TESTS, GateResult
from npu_conformance.measure.tails import Furthest, fit_tail
from tests.unit.helpers.rounded_rows import Rows, measured, references, rounded

CHANCE = 0.01
SEEDS = range(20)


def sent(exact: Rows, seed: int, share: float = 0.005) -> Rows:
    """Rounding, by which so large a share of positions is off by three times as much or more."""
    rng, found = np.random.default_rng(1000 + seed), []
    for run, theirs in zip(rounded(exact, seed), exact, strict=True):
        times = 3 * np.exp(rng.exponential(0.8, (len(run), 1)))
        found.append(theirs + (run - theirs) * np.where(rng.random((len(run), 1)) < share, times, 1))
    return found


def floor_of(seed: int, *, routed: bool) -> tuple[dict[str, Deviations], Rows]:
    """Four floor runs, and what they are held against."""
    exact = references(seed)
    runs = {str(one): measured(sent(exact, 100 * seed + one), exact) for one in range(4)}
    return {name: replace(run, routed=routed) for name, run in runs.items()}, exact


def flagged(run: Rows, exact: Rows, floor: dict[str, Deviations]) -> bool:
    """Whether a position is further off than chance allows."""
    found = TESTS["worst_positions"](measured(run, exact), floor, CHANCE)
    assert isinstance(found, GateResult)
    return found.tested.p_value <= CHANCE


@pytest.mark.parametrize(("routed", "least", "most"), [(True, 0, 1), (False, 4, 20)])
def test_a_token_sent_elsewhere_is_no_alarm(routed: bool, least: int, most: int) -> None:
    """The tail of a dense model would call it one, in run after run."""
    alarms = 0
    for seed in SEEDS:
        floor, exact = floor_of(seed, routed=routed)
        alarms += flagged(sent(exact, 100 * seed + 50), exact, floor)

    assert least <= alarms <= most


def test_what_no_floor_run_has_is_one() -> None:
    """A position whose logits are another's."""
    floor, exact = floor_of(0, routed=True)
    run = sent(exact, 50)
    run[7][5] = exact[8][5]

    assert flagged(run, exact, floor)
    assert not flagged(sent(exact, 50), exact, floor)


def test_chosen_prompts_are_of_the_same_model() -> None:
    """As sets are drawn of a large run."""
    floor, _ = floor_of(0, routed=True)

    assert floor["0"].choose([1, 2]).routed


def test_the_tail_that_reaches_further_counts() -> None:
    """In chances as in what is reached."""
    values = np.concatenate([np.random.default_rng(1).exponential(0.1, 2000), np.linspace(2, 3, 20)])
    tails = (fit_tail(values, 0.05), fit_tail(values, 0.0125))
    both = Furthest(tails)

    assert both.chance(4.0, 100) == max(tail.chance(4.0, 100) for tail in tails)
    assert both.reach(1e-4, 100) == max(tail.reach(1e-4, 100) for tail in tails)
    assert both.chance(both.reach(1e-4, 100), 100) == pytest.approx(1e-4, rel=1e-6)
