"""Whether rounding explains the tokens that differ from the reference's: how many they are, and each of them."""

from collections.abc import Sequence

import numpy as np

from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.noise.found import Floor, GateResult, NoAnswer, Values, gate_test
from npu_conformance.measure.noise.level import level
from npu_conformance.measure.statistics import Tested, count_above, count_reached

# Degrees of freedom of Student's t with the tails of rounding's errors of leads: 0.55 % of those at 2,800 positions of
# three twins were beyond 3 standard deviations, 0.03 % beyond 4.
_HEAVY = 20.0
# Over the root mean square of the logits: half-precision logits are often equal, and the one of the lower id is chosen.
_LEVEL = 1e-6


@gate_test
def excess_flips(candidate: Deviations, floor: Floor, limit: float) -> GateResult | NoAnswer:
    """Share of positions at which the candidate's token differs from the reference's, against what rounding explains.

    How many rounding would exchange follows from the reference's margins and the floor's errors of them. The limit is
    how many times that are allowed: some engines round more than others, and a count of few scatters.
    """
    count, n = int(candidate.flipped.sum()), len(candidate)
    expected = limit * float(_chances(_leads(candidate, floor)).sum())

    def reach(rate: float) -> float:
        return count_reached(expected, rate) / n

    tested = Tested(count / n, None, count_above(count, expected))
    worst = int(candidate.flipped.argmax()) if count else None
    return GateResult(tested, reach(FALSE_ALARMS), n, worst, reach=reach)


@gate_test
def unlikely_flips(candidate: Deviations, floor: Floor, chance: float) -> GateResult | NoAnswer:
    """The lead of the reference's choice over the candidate's where rounding explains it least, in spreads.

    A spread is the standard deviation of the floor's errors of a lead there. The p-value is the chance that rounding
    exchanges any two tokens of so large a lead, at all positions together (Bonferroni).
    """
    leads = _leads(candidate, floor)
    longest = np.sort(np.nan_to_num(leads).ravel())[::-1]
    chances = np.minimum(1.0, np.cumsum(_chances(longest)))
    exchanged = np.where(candidate.flipped, _of_choices(candidate, leads), 0.0)
    exchanged[np.isnan(candidate.row)] = np.inf
    worst = int(exchanged.argmax())
    count = int(np.searchsorted(-longest, -exchanged[worst], side="right"))

    def reach(rate: float) -> float:
        return float(longest[min(int((chances <= rate).sum()), len(longest) - 1)])

    p_value = 1.0 if exchanged[worst] == 0 else float(chances[count - 1]) if count else 0.0
    where = worst if candidate.flipped.any() else None
    return GateResult(Tested(float(exchanged[worst]), None, p_value), reach(chance), len(candidate), where, reach=reach)


def _of_choices(candidate: Deviations, leads: Values) -> Values:
    """Of `leads` that over the token which the candidate chose, or over the last where it is none of them [positions].

    A lead that nobody knows is 0.
    """
    now = np.nan_to_num(candidate.margin + candidate.difference, nan=np.inf)
    chosen = np.where(now.min(axis=1) < _LEVEL, now.argmin(axis=1), (~np.isnan(leads)).sum(axis=1) - 1)
    return np.asarray(np.nan_to_num(leads[np.arange(len(leads)), chosen]))


def _leads(candidate: Deviations, floor: Floor) -> Values:
    """How far the reference's choice leads its runners-up, in spreads of the floor's errors [positions, RUNNERS_UP].

    A spread is that of all positions, by the size of the error there, or that of the position, whichever is larger:
    what rounding of weights costs is common to all runs of a dtype, and no size of an error tells where.
    """
    sizes = np.exp(level(floor, "row"))[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        everywhere = sizes * np.sqrt(_mean_of_known([np.square(one.difference / sizes) for one in floor.values()]))
        here = np.sqrt(_mean_of_known([np.square(one.difference) for one in floor.values()], axis=(0, 2)))[:, None]
        # Without an error only equal logits are exchanged.
        return np.asarray(np.where(candidate.margin == 0, 0.0, candidate.margin / np.fmax(everywhere, here)))


def _mean_of_known(values: Sequence[Values], axis: tuple[int, ...] | None = None) -> Values:
    """Mean of what is no NaN; NaN where nothing is, as at a word that a server did not tell (`nanmean` warns there)."""
    known = ~np.isnan(values)
    return np.asarray(np.nansum(values, axis=axis) / known.sum(axis=axis))


def _chances(leads: Values) -> Values:
    """The chance that rounding exchanges two tokens of such a lead; 0 for a word that is not there."""
    from scipy.special import stdtr

    return np.asarray(np.nan_to_num(stdtr(_HEAVY, -leads * np.sqrt(_HEAVY / (_HEAVY - 2)))))
