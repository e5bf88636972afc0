"""Did it get worse: two runs of a model in a variant, each measured against its own reference, paired by prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.rates import effective_n, rate_interval, times_needed
from npu_conformance.measure.results import Path
from npu_conformance.measure.statistics import (
    Tested,
    holm,
    mean_above,
    more_often,
    needed_for,
    settled,
)

GROWTH = 1.1
"""Times by which the error may grow: other kernels that are as correct cost more than nothing (docs/compare.md)."""
FLIPS = 0.02
"""By how much the share of flips may grow, for the same reason: near ties are exchanged both ways, and seldom."""
_LIMIT = float(np.log(GROWTH))
PROMPTS = 3
"""Fewer say nothing of a mean."""
# Half a unit in the last place of float32: smaller errors, and rows that are equal bit for bit, are all alike.
_SMALLEST = float(np.log(2.0**-24))

Values = NDArray[np.float64]
Test = Literal["decode", "prefill", "none", "flips"]
"""The error of a path, or flips."""
Word = Literal["worse", "no worse", "inconclusive"]


@dataclass(frozen=True)
class RunPair:
    """RunPair runs of the same prompts in the same order, with at least one position of each."""

    prompts: tuple[str, ...]
    """Their ids."""
    paths: Mapping[Path, tuple[Deviations, Deviations]]
    """Before and after, in decode and, where both captured it, in prefill."""
    alike: tuple[int, ...]
    """Of each prompt, the first positions: those at which both runs had seen the same tokens."""

    @cached_property
    def growth(self) -> dict[Path, Values]:
        """Logarithm of each prompt's mean error after, over that before [prompts]."""
        return {
            path: after.by_prompt(error_of(after)) - before.by_prompt(error_of(before))
            for path, (before, after) in self.paths.items()
        }

    @cached_property
    def flips(self) -> tuple[Values, Values]:
        """Share of each prompt's positions with another token than the reference's, before and after [prompts]."""
        before, after = (one.by_prompt(one.flipped.astype(np.float64)) for one in self.paths["decode"])
        return before, after

    @property
    def finite(self) -> bool:
        """Whether all logits of the later run are numbers; without those before there are no two."""
        return all(bool(np.isfinite(after.row).all()) for _, after in self.paths.values())

    @cached_property
    def turned(self) -> NDArray[np.int64]:
        """At positions seen alike: 1 where only after differs from the reference, -1 where only before [positions]."""
        before, after = (one.flipped[self._places(one)].astype(np.int64) for one in self.paths["decode"])
        return after - before

    def worst(self, count: int) -> list[tuple[int, int, float, float]]:
        """Prompt, step and both relative errors where after is worst by before's measure, of positions seen alike.

        Tokens that differ only now come first, then errors by their growth.
        """
        before, after = (error_of(one)[self._places(one)] for one in self.paths["decode"])
        prompts = np.repeat(np.arange(len(self.alike)), self.alike)
        steps = np.arange(len(prompts)) - np.repeat(np.cumsum((0, *self.alike[:-1])), self.alike)
        grown = np.nan_to_num(after - before, nan=np.inf)
        order = np.lexsort((-grown, self.turned < 1))[:count]
        errors = np.exp(np.stack([before, after]))
        return [(int(prompts[at]), int(steps[at]), float(errors[0, at]), float(errors[1, at])) for at in order]

    def _places(self, one: Deviations) -> NDArray[np.int64]:
        return np.concatenate([start + np.arange(m) for start, m in zip(one.bounds, self.alike, strict=False)])


@dataclass(frozen=True)
class Judged:
    """What was found of two runs."""

    verdict: Word
    why: str
    tests: Mapping[Test, Tested]
    """The error's growth as a logarithm; the growth of the share of flips. None of too few prompts."""


def judge(pairs: Sequence[RunPair]) -> list[Judged]:
    """Judge each pair, with one rate of false alarms, `FALSE_ALARMS`, among all of them (Holm)."""
    tests = [grown(two) if two.finite else {} for two in pairs]
    adjusted = iter(holm([tested.p_value for found in tests for tested in found.values()]))
    return [
        _judged(two, found, {name: next(adjusted) for name in found}) for two, found in zip(pairs, tests, strict=True)
    ]


def grown(two: RunPair) -> dict[Test, Tested]:
    """Whether the error grew beyond the limit, and whether flips are more frequent in most prompts that changed.

    The interval of flips is that of the growth of their share. Nothing of fewer than `PROMPTS` prompts; a p-value
    of NaN where an error is no number.
    """
    if len(two.prompts) < PROMPTS:
        return {}
    found: dict[Test, Tested] = {path: mean_above(values, _LIMIT) for path, values in two.growth.items()}
    found["flips"] = _flips_grown(two)
    return found


def _flips_grown(two: RunPair) -> Tested:
    before, after = two.flips
    share, interval, _ = mean_above(after - before, FLIPS)
    low, high = interval or (share, share)
    # Where hardly any prompt changed, what was not seen has a rate too.
    lengths = _lengths(two)
    unseen = rate_interval(0, int(lengths.sum()), effective_n(lengths))[1]
    return Tested(share, (low, max(high, unseen)), more_often(after, before))


def _lengths(two: RunPair) -> NDArray[np.int64]:
    lengths = two.paths["decode"][1].lengths
    return lengths[lengths > 0]


def limit_of(name: Test) -> float:
    """What a test's interval is held against."""
    return FLIPS if name == "flips" else _LIMIT


def _judged(two: RunPair, tests: dict[Test, Tested], adjusted: dict[Test, float]) -> Judged:
    if not two.finite:
        return Judged("worse", "logits are not finite any more", tests)
    if not tests:
        return Judged("inconclusive", f"{len(two.prompts)} prompts in both: at least {PROMPTS} are needed", tests)
    if worse := [name for name in tests if not adjusted[name] > FALSE_ALARMS]:
        told = (f"{_words(name)} (p {tests[name].p_value:.2g}, adjusted {adjusted[name]:.2g})" for name in worse)
        return Judged("worse", ", ".join(told), tests)
    unsettled = [name for name, tested in tests.items() if not settled(tested, limit_of(name))]
    if not unsettled:
        kept = f"the error grew by less than {GROWTH:g} times, the share of flips by less than {FLIPS:.0%}"
        return Judged("no worse", kept, tests)
    needed = [prompts_needed(two, name) for name in unsettled]
    enough = [number for number in needed if number is not None]
    more = f"about {max(enough)} prompts" if len(enough) == len(needed) else "no number of prompts such as these"
    what = " and whether ".join(_words(name) for name in unsettled)
    return Judged("inconclusive", f"{len(two.prompts)} prompts cannot tell whether {what}: {more} would", tests)


def prompts_needed(two: RunPair, name: Test) -> int | None:
    """Prompts, at this mean and spread, after which an interval would lie on one side: more than these, in any case."""
    values = two.flips[1] - two.flips[0] if name == "flips" else two.growth[name]
    needed = needed_for(values, abs(limit_of(name) - float(values.mean())))
    if name == "flips" and needed is not None:
        lengths = _lengths(two)
        times = times_needed(0, int(lengths.sum()), effective_n(lengths), lambda interval: interval[1] <= FLIPS)
        needed = None if times is None else max(needed, ceil(len(values) * times))
    return None if needed is None else max(needed, len(values) + 1)


def _words(name: Test) -> str:
    return "flips are more frequent" if name == "flips" else f"the error in {name} grew by more than {GROWTH:g} times"


def error_of(one: Deviations) -> Values:
    """Logarithm of each position's relative error; NaN stays NaN."""
    return np.asarray(np.maximum(one.row, _SMALLEST))
