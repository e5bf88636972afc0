"""What a calibrated test is and finds, and the tests that there are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npu_conformance.config.limits import WORST_FIGURES
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.results import Path
from npu_conformance.measure.statistics import Tested

Floor = Mapping[str, Deviations]
"""Deviations of floor runs by name, at the candidate's positions."""
Key = tuple[str, Path]
"""A test and the path it is of."""
Values = NDArray[np.float64]

PROMPTS = 3
"""Fewer say nothing of a mean."""


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
WORST = tuple(figure.name for figure in WORST_FIGURES)
"""Those that have a chance for a limit."""


def gate_test(function: Test) -> Test:
    """Register a calibrated test."""
    TESTS[function.__name__] = function
    return function


def too_few(prompts: int) -> NoAnswer:
    """Of a mean over so few prompts."""
    return NoAnswer(f"{prompts} prompts: at least {PROMPTS} are needed", of_prompts=True)
