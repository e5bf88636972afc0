"""The calibrated tests: a candidate's deviations against those of floor runs of the same model.

Each answers one question with a value, where there is one an interval, and a p-value; a gate judges them together.
"""

from npu_conformance.measure.noise import flips, means, worst
from npu_conformance.measure.noise.family import Family, family
from npu_conformance.measure.noise.found import PROMPTS, TESTS, WORST, Floor, GateResult, NoAnswer
from npu_conformance.measure.noise.layers import LAYERS, points_found

__all__ = [
    "LAYERS",
    "PROMPTS",
    "TESTS",
    "WORST",
    "Family",
    "Floor",
    "GateResult",
    "NoAnswer",
    "family",
    "flips",
    "means",
    "points_found",
    "worst",
]
