"""Tests of means over prompts, against the floor run that is worst."""

from dataclasses import replace

import numpy as np

from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.noise.found import PROMPTS, Floor, GateResult, NoAnswer, Values, gate_test, too_few
from npu_conformance.measure.noise.level import envelope, left_out, level
from npu_conformance.measure.statistics import Tested, mean_above, mean_beyond, needed_for, t_quantile

# Positions in each half of an answer: fewer say nothing of drift.
_HALF = 8
# Times a floor run's own bias or growth that a candidate may have.
_TWICE = 2.0


@gate_test
def error_over_floor(candidate: Deviations, floor: Floor, limit: float) -> GateResult | NoAnswer:
    """Geometric mean over prompts of the candidate's error in units of the envelope's."""
    return _over_floor(candidate, floor, limit, "row")


@gate_test
def peak_over_floor(candidate: Deviations, floor: Floor, limit: float) -> GateResult | NoAnswer:
    """The same of the largest error of any one logit: one word that is off drowns in an error over the vocabulary."""
    return _over_floor(candidate, floor, limit, "logit")


@gate_test
def sets_over_floor(candidate: Deviations, floor: Floor, limit: float) -> GateResult | NoAnswer:
    """The error over the floor of the prompt set that is worst: one language that is off drowns in the mean of all."""
    ratios = candidate.by_prompt(candidate.row) - envelope(floor, "row")
    sets = candidate.by_set()
    sampled = [places for places in sets.values() if len(places) >= PROMPTS]
    if len(sets) < 2 or not sampled:
        return NoAnswer(f"{len(sets)} prompt set: error_over_floor judges it" if sampled else "no set has 3 prompts")
    tests = [mean_above(ratios[places], np.log(limit)) for places in sampled]
    # Where it gives no number it is worst.
    chances = np.nan_to_num([one.p_value for one in tests], nan=-1.0)
    worst = int(np.lexsort((np.array([-one.observed for one in tests]), chances))[0])
    places, tested = sampled[worst], tests[worst]

    def reach(rate: float) -> float:
        above = t_quantile(1 - rate / len(tests), len(places)) * ratios[places].std(ddof=1) / np.sqrt(len(places))
        return float(limit * np.exp(above))

    where = candidate.spans[places[ratios[places].argmax()]]
    return GateResult(
        Tested(float(np.exp(tested.observed)), None, float(np.minimum(1.0, len(tests) * tested.p_value))),
        reach(FALSE_ALARMS),
        len(places),
        where.start + int(candidate.row[where].argmax()),
        reach=reach,
    )


@gate_test
def signed_bias(candidate: Deviations, floor: Floor, limit: float) -> GateResult | NoAnswer:
    """Mean over prompts of the error along the reference, in units of the envelope's error: rounding has no sign.

    Or hardly one: where a floor run's errors have, twice that is allowed.
    """
    sizes = np.exp(envelope(floor, "row"))
    shares = candidate.by_prompt(candidate.gain) / sizes
    if len(shares) < PROMPTS:
        return too_few(len(shares))
    limit = max(limit, *(_TWICE * abs(float((one.by_prompt(one.gain) / sizes).mean())) for one in floor.values()))
    if shares.mean() < 0:
        shares = -shares  # how large it is, whichever way it points
    tested = mean_beyond(shares, limit)
    return GateResult(tested, limit, len(shares), prompts_needed=_needed(tested.observed, shares, limit))


@gate_test
def drift(candidate: Deviations, floor: Floor, limit: float) -> GateResult | NoAnswer:
    """By how much the error over the floor grows from an answer's first half to its second.

    Where that of a floor run grows, twice as much is allowed.
    """
    values = _growth(candidate, candidate.row - level(floor, "row"))
    if len(values) < PROMPTS:
        return NoAnswer(f"{len(values)} answers of {2 * _HALF} tokens or more: at least {PROMPTS} are needed")
    own = [_growth(candidate, left_out(floor, name, "row")).mean() for name in floor]
    limit = max(limit, float(np.exp(_TWICE * max(own))))
    return _as_ratio(GateResult(mean_above(values, np.log(limit)), limit, len(values)), values, limit)


def _growth(run: Deviations, above: Values) -> Values:
    """By how much values [positions] grow from an answer's first half to its second [answers that are long enough]."""
    spans = [span for span in run.spans if span.stop - span.start >= 2 * _HALF]
    halves = [np.array_split(above[span], [(span.stop - span.start) // 2]) for span in spans]
    return np.array([later.mean() - sooner.mean() for sooner, later in halves])


def _over_floor(candidate: Deviations, floor: Floor, limit: float, what: str) -> GateResult | NoAnswer:
    ratios = candidate.by_prompt(getattr(candidate, what)) - envelope(floor, what)
    if len(ratios) < PROMPTS:
        return too_few(len(ratios))
    above = getattr(candidate, what) - level(floor, what)
    found = GateResult(mean_above(ratios, np.log(limit)), limit, len(ratios), int(above.argmax()))
    return _as_ratio(found, ratios, limit)


def _as_ratio(found: GateResult, logarithms: Values, limit: float) -> GateResult:
    """What was tested as a logarithm, told as a ratio."""
    observed, interval, p_value = found.tested
    told = None if interval is None else (float(np.exp(interval[0])), float(np.exp(interval[1])))
    needed = _needed(observed, logarithms, float(np.log(limit)))
    return replace(found, tested=Tested(float(np.exp(observed)), told, p_value), prompts_needed=needed)


def _needed(observed: float, values: Values, limit: float) -> int | None:
    needed = needed_for(values, abs(limit - observed))
    return needed if needed is not None and needed > len(values) else None
