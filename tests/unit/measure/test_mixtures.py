"""The worst of many in a mixture of experts, where rounding sends a token to another expert here and there."""

from dataclasses import replace

import numpy as np
import pytest

from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.noise import TESTS, GateResult
from npu_conformance.measure.tails import Furthest, fit_tail
from tests.unit.helpers.rounded_rows import LIMITS, Rows, measured, references, rounded

CHANCE = 0.01 / 9
"""Nine gates share a run's false alarms."""
SEEDS = range(20)


def sent(exact: Rows, seed: int, share: float = 0.005) -> Rows:
    """Rounding, by which so large a share of positions is off by three times as much or more."""
    rng, found = np.random.default_rng(1000 + seed), []
    for run, theirs in zip(rounded(exact, seed), exact, strict=True):
        times = 3 * np.exp(rng.exponential(0.8, (len(run), 1)))
        found.append(theirs + (run - theirs) * np.where(rng.random((len(run), 1)) < share, times, 1))
    return found


def floor_of(seed: int, *, routed: bool, share: float = 0.005) -> tuple[dict[str, Deviations], Rows]:
    """Four floor runs, and what they are held against."""
    exact = references(seed)
    runs = {str(one): measured(sent(exact, 100 * seed + one, share), exact) for one in range(4)}
    return {name: replace(run, routed=routed) for name, run in runs.items()}, exact


def flagged(run: Rows, exact: Rows, floor: dict[str, Deviations]) -> bool:
    """Whether a position is further off than chance allows."""
    found = TESTS["worst_positions"](measured(run, exact), floor, CHANCE)
    assert isinstance(found, GateResult)
    return found.tested.p_value <= CHANCE


@pytest.mark.parametrize(
    ("routed", "share", "least", "most"),
    [(True, 0.002, 0, 0), (True, 0.005, 0, 0), (True, 0.02, 0, 0), (False, 0.005, 4, 20)],
)
def test_a_token_sent_elsewhere_is_no_alarm(routed: bool, share: float, least: int, most: int) -> None:
    """However many are; the tail of a dense model would call it one, in run after run."""
    alarms = 0
    for seed in SEEDS:
        floor, exact = floor_of(seed, routed=routed, share=share)
        alarms += flagged(sent(exact, 100 * seed + 50, share), exact, floor)

    assert least <= alarms <= most


def test_another_rows_logits_are_found_by_their_token() -> None:
    """In a mixture an exchanged expert could err as much; of a dense model such a position is the worst by far."""
    for routed, share in ((True, 0.005), (False, 0.0)):
        floor, exact = floor_of(0, routed=routed, share=share)
        run = sent(exact, 50, share)
        clean = TESTS["unlikely_flips"](measured(run, exact), floor, CHANCE)
        assert not flagged(run, exact, floor)
        run[7][5] = exact[8][5]
        found = TESTS["unlikely_flips"](measured(run, exact), floor, CHANCE)

        assert isinstance(clean, GateResult)
        assert isinstance(found, GateResult)
        assert found.tested.p_value <= CHANCE < clean.tested.p_value
        assert flagged(run, exact, floor) is not routed


@pytest.mark.parametrize("seed", range(8))
def test_no_other_gate_finds_another_rows_logits_in_a_mixture(seed: int) -> None:
    """So `unlikely_flips` stays, though without it the campaign's faults are all caught by other gates."""
    floor, exact = floor_of(seed, routed=True)
    run = sent(exact, 100 * seed + 50)
    run[7][5] = exact[8][5]
    tests = {gate: TESTS[gate](measured(run, exact), floor, LIMITS.get(gate) or CHANCE) for gate in TESTS}
    found = {gate for gate, one in tests.items() if isinstance(one, GateResult) and one.tested.p_value <= CHANCE}

    assert found == {"unlikely_flips"}


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
