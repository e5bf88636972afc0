"""Whether a candidate's tokens differ from the reference's more often than rounding explains."""

import numpy as np

from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.noise.found import Floor, GateResult, NoAnswer, Values, gate_test
from npu_conformance.measure.noise.level import level
from npu_conformance.measure.statistics import Tested, count_above, count_reached

# Degrees of freedom of Student's t with the tails of rounding's errors of leads: 0.55 % of those at 2,800 positions of
# three twins were beyond 3 standard deviations, 0.03 % beyond 4.
_HEAVY = 20.0


@gate_test
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

    sizes = np.exp(level(floor, "row"))[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = sizes * np.sqrt(np.nanmean([np.square(one.difference / sizes) for one in floor.values()]))
        chances = stdtr(_HEAVY, -candidate.margin / spread * np.sqrt(_HEAVY / (_HEAVY - 2)))
    # Without an error only equal logits are exchanged; of words that are not there none is.
    chances[candidate.margin == 0] = 0.5
    return np.asarray(np.nan_to_num(chances).sum(axis=1))
