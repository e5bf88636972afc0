"""The test of attentions and MLPs, layer by layer, each against the floor of its own arithmetic."""

from dataclasses import dataclass

import numpy as np

from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.measure.module_errors import ModuleErrors
from npu_conformance.measure.noise.found import GateResult, NoAnswer, Values
from npu_conformance.measure.statistics import Tested, mean_above, t_quantile

LAYERS = "layers_over_floor"
"""The test, its gate, its metric and its limit."""
LEAST = 8
"""Prompts: of fewer, one module of a hundred is beyond chance only where it is far off."""
# What all modules of a kind may be off by: other kernels round otherwise, in every layer alike.
_ALIKE = 1.2


@dataclass(frozen=True)
class PointFound:
    """One attention or MLP."""

    point: str
    over_floor: float
    """Its error in units of the floor's, geometric mean over prompts."""
    alike: float
    """How much of that all modules of its kind have, at most 1.2."""
    p_value: float
    """Of the rest, adjusted for the number of points."""


def points_found(errors: ModuleErrors, limit: float) -> list[PointFound]:
    """Each point, in the order they are passed; of as many prompts as there are."""
    ratios = _over_floor(errors)
    alike = _alike(errors.points, ratios)
    found = []
    for place, point in enumerate(errors.points):
        tested = mean_above(ratios[:, place] - alike[place], np.log(limit))
        chance = float(np.minimum(1.0, len(errors.points) * np.nan_to_num(tested.p_value, nan=0.0)))
        found.append(PointFound(point, float(np.exp(ratios[:, place].mean())), float(np.exp(alike[place])), chance))
    return found


def layers_over_floor(errors: ModuleErrors, limit: float) -> GateResult | NoAnswer:
    """The error of one attention or MLP over its floor, beyond what all of its kind have.

    `worst` is the place of the first point that is beyond by itself, or of the one with the smallest p-value.
    """
    if len(errors.prompts) < LEAST:
        return NoAnswer(f"{len(errors.prompts)} prompts: at least {LEAST} are needed")
    found, ratios = points_found(errors, limit), _over_floor(errors)
    beyond = [place for place, one in enumerate(found) if not one.p_value > FALSE_ALARMS]
    order = sorted(range(len(found)), key=lambda place: (found[place].p_value, -found[place].over_floor))
    worst = order[0]
    shown = beyond[0] if beyond else worst

    def reach(rate: float) -> float:
        scatter = ratios[:, shown].std(ddof=1) / np.sqrt(len(ratios))
        return float(limit * np.exp(t_quantile(1 - rate / len(found), len(ratios)) * scatter))

    observed = found[shown].over_floor / found[shown].alike
    tested = Tested(observed, None, found[worst].p_value)
    return GateResult(tested, reach(FALSE_ALARMS), len(ratios), shown, reach=reach)


def _over_floor(errors: ModuleErrors) -> Values:
    """Logarithm of each prompt's error over that of the floor run that is worst at the point [prompts, points]."""
    level = (np.logaddexp.reduce(2 * errors.floor, axis=0) - np.log(len(errors.floor))) / 2
    worst = (errors.floor - level).mean(axis=(1, 2)).max(axis=0)
    return np.asarray((errors.candidate - level).mean(axis=1) - worst)


def _alike(points: tuple[str, ...], ratios: Values) -> Values:
    """What all modules of a point's kind have: the median of their logarithms, no more than allowed [points]."""
    kinds, means = np.array([point.rpartition(".")[2] for point in points]), ratios.mean(axis=0)
    medians = {kind: float(np.nanmedian(means[kinds == kind])) for kind in dict.fromkeys(kinds.tolist())}
    return np.array([np.clip(medians[kind], 0.0, np.log(_ALIKE)) for kind in kinds.tolist()])
