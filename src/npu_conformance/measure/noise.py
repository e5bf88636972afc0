"""The calibrated tests: a candidate's deviations against those of floor runs of the same model.

Each answers one question with a value, where there is one an interval, and a p-value; a gate judges them together.
There are several floor runs: means are compared with the worst of them, prompt by prompt.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.results import Path
from npu_conformance.measure.statistics import (
    Tested,
    count_above,
    count_reached,
    holm,
    mean_above,
    mean_beyond,
    needed_for,
)
from npu_conformance.measure.tails import Tail, fit_tail

Floor = Mapping[str, Deviations]
"""Deviations of floor runs by name, at the candidate's positions."""
Key = tuple[str, Path]
"""A test and the path it is of."""
Values = NDArray[np.float64]

# Fewer say nothing: prompts for a mean, values for a tail, positions in each half of an answer for drift.
PROMPTS, _SAMPLE, _HALF = 3, 100, 8
# Prompts are few, and their means near to normal: at a twentieth of 100 values the scale would be hardly known.
_OF_PROMPTS = 0.2
# Degrees of freedom of Student's t with the tails of rounding's errors of leads: 0.55 % of those at 2,800 positions of
# three twins were beyond 3 standard deviations, 0.03 % beyond 4.
_HEAVY = 20.0


@dataclass(frozen=True)
class GateResult:
    """What a calibrated test found."""

    tested: Tested
    allowed: float
    """The most that is allowed, in the unit of what was observed."""
    n: int
    """Prompts or positions it rests on."""
    worst: int | None = None
    """Position it points at."""
    prompts_needed: int | None = None
    """Prompts after which the interval would lie on one side of the limit, at this mean and spread; None where it does,
    or where none would."""
    reach: Callable[[float], float] | None = None
    """Where chance alone limits it: what the worst of so many reaches with a chance."""


@dataclass(frozen=True)
class NoAnswer:
    """Why a calibrated test says nothing."""

    why: str
    of_prompts: bool = False
    """Whether more prompts settle it: some tests also need long answers, or many positions."""


Test = Callable[[Deviations, Floor, float], GateResult | NoAnswer]
"""From a candidate, its floor and a limit to what was found, or why nothing can be said. The limit is on what is
observed; of those of `WORST`, which have none, the chance at which they are beyond the floor."""
TESTS: dict[str, Test] = {}
"""By name, which is that of the gate, its metric and its limit."""
WORST = ("worst_positions", "worst_logits", "worst_prompts")
"""Those that have a chance for a limit."""


def _test(function: Test) -> Test:
    """Register a calibrated test."""
    TESTS[function.__name__] = function
    return function


def _too_few(prompts: int) -> NoAnswer:
    return NoAnswer(f"{prompts} prompts: at least {PROMPTS} are needed", of_prompts=True)


@_test
def error_over_floor(candidate: Deviations, floor: Floor, limit: float) -> GateResult | NoAnswer:
    """Geometric mean over prompts of the candidate's error in units of the envelope's."""
    return _over_floor(candidate, floor, limit, "row")


@_test
def peak_over_floor(candidate: Deviations, floor: Floor, limit: float) -> GateResult | NoAnswer:
    """The same of the largest error of any one logit: one word that is off drowns in an error over the vocabulary."""
    return _over_floor(candidate, floor, limit, "logit")


@_test
def signed_bias(candidate: Deviations, floor: Floor, limit: float) -> GateResult | NoAnswer:
    """Mean over prompts of the error along the reference, in units of the envelope's error: rounding has no sign."""
    shares = candidate.by_prompt(candidate.gain) / np.exp(_envelope(floor, "row"))
    if len(shares) < PROMPTS:
        return _too_few(len(shares))
    if shares.mean() < 0:
        shares = -shares  # how large it is, whichever way it points
    tested = mean_beyond(shares, limit)
    return GateResult(tested, limit, len(shares), prompts_needed=_needed(tested.observed, shares, limit))


@_test
def excess_flips(candidate: Deviations, floor: Floor, limit: float) -> GateResult | NoAnswer:
    """Share of positions at which the candidate's token differs from the reference's, against what rounding explains.

    How many rounding would exchange follows from the reference's margins and the floor's errors of them. The limit is
    how many times that are allowed: some engines round more than others, and a count of few scatters.
    """
    count, n = int(candidate.flipped.sum()), len(candidate)
    expected = limit * float(_likely_flips(candidate, floor).sum())

    def reach(rate: float) -> float:
        return count_reached(expected, rate) / n

    tested = Tested(count / n, None, count_above(count, expected))
    worst = int(candidate.flipped.argmax()) if count else None
    return GateResult(tested, reach(FALSE_ALARMS), n, worst, reach=reach)


def _likely_flips(candidate: Deviations, floor: Floor) -> Values:
    """By how many of the runners-up rounding would exchange the reference's choice, on average [positions]."""
    from scipy.special import stdtr

    level = np.exp(_level(floor, "row"))[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = level * np.sqrt(np.nanmean([np.square(one.difference / level) for one in floor.values()]))
        chances = stdtr(_HEAVY, -candidate.margin / spread * np.sqrt(_HEAVY / (_HEAVY - 2)))
    # Without an error only equal logits are exchanged; of words that are not there none is.
    chances[candidate.margin == 0] = 0.5
    return np.asarray(np.nan_to_num(chances).sum(axis=1))


@_test
def worst_positions(candidate: Deviations, floor: Floor, chance: float) -> GateResult | NoAnswer:
    """The largest error of a position in units of the floor's there, against what the floor's own errors scatter."""
    return _worst(candidate, floor, chance, "row")


@_test
def worst_logits(candidate: Deviations, floor: Floor, chance: float) -> GateResult | NoAnswer:
    """The same of the largest error of any one logit."""
    return _worst(candidate, floor, chance, "logit")


@_test
def worst_prompts(candidate: Deviations, floor: Floor, chance: float) -> GateResult | NoAnswer:
    """The largest error of a prompt in units of the floor's there, against what those of floor runs scatter.

    A prompt whose error is twice the floor's all along has no position that is far off.
    """
    above = candidate.row - _level(floor, "row")
    prompts = candidate.by_prompt(above)
    sample = [candidate.by_prompt(_left_out(floor, name, "row")) for name in floor]
    if len(prompts) * len(floor) < _SAMPLE:
        return NoAnswer(f"{len(prompts)} prompts: at least {ceil(_SAMPLE / len(floor))} are needed")
    # A floor run may err more than the others everywhere: what is held against the others is one prompt.
    tail = fit_tail(np.concatenate([one - np.median(one) for one in sample]), _OF_PROMPTS)
    found = _beyond(prompts, tail, chance)
    span = candidate.spans[found.worst or 0]
    return replace(found, worst=span.start + int(above[span].argmax()))


@_test
def drift(candidate: Deviations, floor: Floor, limit: float) -> GateResult | NoAnswer:
    """By how much the error over the floor grows from an answer's first half to its second."""
    above = candidate.row - _level(floor, "row")
    growth = []
    for start, end in zip(candidate.bounds, candidate.bounds[1:], strict=False):
        if end - start >= 2 * _HALF:
            middle = (start + end) // 2
            growth.append(above[middle:end].mean() - above[start:middle].mean())
    if len(growth) < PROMPTS:
        return NoAnswer(f"{len(growth)} answers of {2 * _HALF} tokens or more: at least {PROMPTS} are needed")
    values = np.array(growth)
    return _as_ratio(GateResult(mean_above(values, np.log(limit)), limit, len(values)), values, limit)


def _over_floor(candidate: Deviations, floor: Floor, limit: float, what: str) -> GateResult | NoAnswer:
    ratios = candidate.by_prompt(getattr(candidate, what)) - _envelope(floor, what)
    if len(ratios) < PROMPTS:
        return _too_few(len(ratios))
    above = getattr(candidate, what) - _level(floor, what)
    found = GateResult(mean_above(ratios, np.log(limit)), limit, len(ratios), int(above.argmax()))
    return _as_ratio(found, ratios, limit)


def _worst(candidate: Deviations, floor: Floor, chance: float, what: str) -> GateResult | NoAnswer:
    if len(candidate) < _SAMPLE:
        return NoAnswer(f"{len(candidate)} positions: at least {_SAMPLE} are needed")
    above = getattr(candidate, what) - _level(floor, what)
    return _beyond(above, fit_tail(np.concatenate([_left_out(floor, name, what) for name in floor])), chance)


def _beyond(above: Values, tail: Tail, chance: float) -> GateResult:
    """The largest of logarithms of errors over the floor's, against the tail of floor runs'."""
    # What is worse everywhere is another test's: here one place is held against the others.
    above = above - max(0.0, float(np.median(above)))
    worst = int(np.nan_to_num(above, nan=np.inf).argmax())
    p_value = tail.chance(float(above[worst]), len(above))

    def reach(rate: float) -> float:
        return float(np.exp(tail.reach(rate, len(above))))

    return GateResult(Tested(float(np.exp(above[worst])), None, p_value), reach(chance), len(above), worst, reach=reach)


def _left_out(floor: Floor, name: str, what: str) -> Values:
    """A floor run's deviations in units of the others'."""
    others = {other: one for other, one in floor.items() if other != name}
    return np.asarray(getattr(floor[name], what) - _level(others, what))


def _level(floor: Floor, what: str) -> Values:
    """Logarithm of the floor runs' root mean square deviation [positions]."""
    squares = [2 * getattr(one, what) for one in floor.values()]
    return np.asarray(np.logaddexp.reduce(squares, axis=0) - np.log(len(squares))) / 2


def _envelope(floor: Floor, what: str) -> Values:
    """Mean logarithm of the error of each prompt, of the floor run that is worst there [prompts]."""
    return np.asarray(np.max([one.by_prompt(getattr(one, what)) for one in floor.values()], axis=0))


def _as_ratio(found: GateResult, logarithms: Values, limit: float) -> GateResult:
    """What was tested as a logarithm, told as a ratio."""
    observed, interval, p_value = found.tested
    told = None if interval is None else (float(np.exp(interval[0])), float(np.exp(interval[1])))
    needed = _needed(observed, logarithms, float(np.log(limit)))
    return replace(found, tested=Tested(float(np.exp(observed)), told, p_value), prompts_needed=needed)


def _needed(observed: float, values: Values, limit: float) -> int | None:
    needed = needed_for(values, abs(limit - observed))
    return needed if needed is not None and needed > len(values) else None


class Family(NamedTuple):
    """All calibrated tests of a candidate."""

    found: dict[Key, GateResult | NoAnswer]
    """What each found, or why it can say nothing."""
    adjusted: dict[Key, float]
    """P-values of those that found something, such that rejecting those at or below a rate keeps the chance of any
    false one below it (Holm)."""


def family(
    candidate: Deviations, prefill: Deviations | None, floor: Floor, limits: Mapping[str, float], chance: float
) -> Family:
    """Run all tests.

    Args:
        candidate: in decode.
        prefill: of its prefill path, where it was captured.
        floor: at least two floor runs.
        limits: by test.
        chance: of any false alarm.
    """
    found: dict[Key, GateResult | NoAnswer] = {}
    for name, test in TESTS.items():
        limit = chance if name in WORST else limits[name]
        found[name, "decode"] = test(candidate, floor, limit)
        if name == "error_over_floor" and prefill is not None:
            found[name, "prefill"] = test(prefill, floor, limit)
    tested = {key: one for key, one in found.items() if isinstance(one, GateResult)}
    p_values = [one.tested.p_value for one in tested.values()]
    for key, one in tested.items():
        if one.reach is not None:
            # Holm's share of the chance: that of those that are no less likely.
            rivals = sum(not other < one.tested.p_value for other in p_values)
            found[key] = replace(one, allowed=one.reach(chance / rivals))
    return Family(found, dict(zip(tested, holm(p_values), strict=True)))
