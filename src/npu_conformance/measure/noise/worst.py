"""Tests of the worst of many, against what floor runs scatter."""

from dataclasses import replace
from math import ceil

import numpy as np

from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.noise.found import Floor, GateResult, NoAnswer, Values, gate_test
from npu_conformance.measure.noise.level import left_out, level
from npu_conformance.measure.statistics import Tested
from npu_conformance.measure.tails import Furthest, fit_tail

# Values for a tail, at least.
_SAMPLE = 100
# Prompts are few, and their means near to normal: at a twentieth of 100 values the scale would be hardly known.
_OF_PROMPTS = 0.2
_USUAL = 0.05
# Of a mixture of experts, whose errors have a second mode: a token that rounding sends to another expert is off by
# several times as much. It has a few of a hundred values, or of a thousand, which tell little of the scale beyond a
# twentieth. So the largest are looked at by themselves; the means of prompts are too few for the second.
_SECOND_MODE = (0.25, 0.05)


@gate_test
def worst_positions(candidate: Deviations, floor: Floor, chance: float) -> GateResult | NoAnswer:
    """The largest error of a position in units of the floor's there, against what the floor's own errors scatter."""
    return _worst(candidate, floor, chance, "row")


@gate_test
def worst_logits(candidate: Deviations, floor: Floor, chance: float) -> GateResult | NoAnswer:
    """The same of the largest error of any one logit."""
    return _worst(candidate, floor, chance, "logit")


@gate_test
def worst_prompts(candidate: Deviations, floor: Floor, chance: float) -> GateResult | NoAnswer:
    """The largest error of a prompt in units of the floor's there, against what those of floor runs scatter.

    A prompt whose error is twice the floor's all along has no position that is far off.
    """
    above = candidate.row - level(floor, "row")
    prompts = candidate.by_prompt(above)
    sample = [candidate.by_prompt(left_out(floor, name, "row")) for name in floor]
    if len(prompts) * len(floor) < _SAMPLE:
        return NoAnswer(f"{len(prompts)} prompts: at least {ceil(_SAMPLE / len(floor))} are needed")
    # A floor run may err more than the others everywhere: what is held against the others is one prompt.
    tail = _tail(floor, [one - np.median(one) for one in sample], _OF_PROMPTS, _SECOND_MODE[:1])
    found = _beyond(prompts, tail, chance)
    span = candidate.spans[found.worst or 0]
    return replace(found, worst=span.start + int(above[span].argmax()))


def _worst(candidate: Deviations, floor: Floor, chance: float, what: str) -> GateResult | NoAnswer:
    if len(candidate) < _SAMPLE:
        return NoAnswer(f"{len(candidate)} positions: at least {_SAMPLE} are needed")
    above = getattr(candidate, what) - level(floor, what)
    tail = _tail(floor, [left_out(floor, name, what) for name in floor], _USUAL, _SECOND_MODE)
    return _beyond(above, tail, chance)


def _tail(floor: Floor, samples: list[Values], share: float, parts: tuple[float, ...]) -> Furthest:
    """The tail of floor runs' values; of a mixture of experts also those of parts of it, where they reach further."""
    routed = any(one.routed for one in floor.values())
    shares = (share, *(share * part for part in parts if routed))
    return Furthest(tuple(fit_tail(np.concatenate(samples), one) for one in shares))


def _beyond(above: Values, tail: Furthest, chance: float) -> GateResult:
    """The largest of logarithms of errors over the floor's, against the tail of floor runs'."""
    # What is worse everywhere is another test's: here one place is held against the others.
    above = above - max(0.0, float(np.median(above)))
    worst = int(np.nan_to_num(above, nan=np.inf).argmax())
    p_value = tail.chance(float(above[worst]), len(above))

    def reach(rate: float) -> float:
        return float(np.exp(tail.reach(rate, len(above))))

    return GateResult(Tested(float(np.exp(above[worst])), None, p_value), reach(chance), len(above), worst, reach=reach)
