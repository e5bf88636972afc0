"""Whether an error or flips grew: false alarms are rare, what is worse is found, what is not is mostly settled."""

from collections.abc import Callable

import numpy as np
import pytest

from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.growth import GROWTH, Judged, RunPair, judge
from npu_conformance.measure.kernel import RUNNERS_UP


def measured(rows: np.ndarray, flipped: np.ndarray) -> Deviations:
    """Of prompts of equal length, from their logarithms of errors and flips [prompts, steps]."""
    steps = rows.shape[1]
    blank = np.zeros(rows.size)
    bounds = tuple(range(0, rows.size + 1, steps))
    return Deviations(bounds, rows.ravel(), blank, blank, flipped.ravel(), *np.zeros((2, rows.size, RUNNERS_UP)))


def pretended(rng: np.random.Generator, growth: float = 1.0, flips: float = 0.01, prompts: int = 40) -> RunPair:
    """A pair of runs by what is measured of them: sizes of prompts and positions are shared, the rest scatters.

    More than runs of the twins do whose kernels round otherwise: base and graph, prompt by prompt, by 0.06 to 0.07.
    """
    shared = rng.normal(-5, 0.4, (prompts, 1)) + rng.normal(0, 0.4, (prompts, 16))
    unsure = rng.random((prompts, 16)) < 0.03
    runs = []
    for more, rate in ((0.0, 0.01), (np.log(growth), flips)):
        rows = shared + more + rng.normal(0, 0.1, (prompts, 1)) + rng.normal(0, 0.3, (prompts, 16))
        runs.append(measured(rows, (rng.random(rows.shape) < rate) | (unsure & (rng.random(rows.shape) < 0.5))))
    names = tuple(f"set/{number}" for number in range(prompts))
    return RunPair(names, {"decode": (runs[0], runs[1])}, (16,) * prompts)


@pytest.mark.parametrize("growth", [1.0, pytest.param(GROWTH, marks=pytest.mark.slow)])
def test_false_alarms_are_rarer_than_their_rate(growth: float) -> None:
    """Of commands that compare three pairs each, whose error grew by as much as it may, and whose flips are as many."""
    rng = np.random.default_rng(3)
    commands = 300
    false = sum(
        any(one.verdict == "worse" for one in judge([pretended(rng, growth) for _ in range(3)]))
        for _ in range(commands)
    )

    assert false / commands <= FALSE_ALARMS + 3 * (FALSE_ALARMS * (1 - FALSE_ALARMS) / commands) ** 0.5


def verdicts(make: Callable[[np.random.Generator], RunPair]) -> list[Judged]:
    """Of fifty pairs, each by itself."""
    return [judge([make(np.random.default_rng(seed))])[0] for seed in range(50)]


def test_what_is_worse_is_mostly_found_and_what_is_not_mostly_settled() -> None:
    """A third more error, flips at one position in ten; and pairs that differ by chance only."""
    larger = verdicts(lambda rng: pretended(rng, 1.35))
    flipping = verdicts(lambda rng: pretended(rng, flips=0.1))
    equal = verdicts(lambda rng: pretended(rng))

    assert sum(one.verdict == "worse" for one in larger) >= 45
    assert sum(one.verdict == "worse" and "flips are more frequent" in one.why for one in flipping) >= 45
    assert sum(one.verdict == "no worse" for one in equal) >= 30


@pytest.mark.parametrize(
    ("prompts", "more", "verdict"),
    [(12, 4, "inconclusive"), (10, 0, "inconclusive"), (40, 0, "no worse"), (40, 4, "no worse"), (40, 16, "worse")],
)
def test_flips_are_settled_by_how_much_their_share_may_have_grown(prompts: int, more: int, verdict: str) -> None:
    """Of ten prompts nothing is known to 2 %, of forty it is; where most have one more, that is no chance."""
    rng = np.random.default_rng(1)
    rows = rng.normal(-5, 0.4, (prompts, 20))
    flipped = np.zeros((prompts, 20), dtype=bool)
    flipped[:more, 3] = True
    two = RunPair(
        tuple(map(str, range(prompts))),
        {"decode": (measured(rows, np.zeros_like(flipped)), measured(rows, flipped))},
        (20,) * prompts,
    )
    (found,) = judge([two])

    assert found.verdict == verdict
    if verdict == "inconclusive":
        assert found.why.startswith(f"{prompts} prompts cannot tell whether flips are more frequent: about ")
    if more:
        assert two.worst(1)[0][1] == 3
