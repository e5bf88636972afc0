"""All calibrated tests of a candidate, with one rate of false alarms among them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.module_errors import ModuleErrors
from npu_conformance.measure.noise.found import TESTS, WORST, Floor, GateResult, Key, NoAnswer
from npu_conformance.measure.noise.layers import LAYERS, layers_over_floor
from npu_conformance.measure.statistics import holm


class Family(NamedTuple):
    """All calibrated tests of a candidate."""

    found: dict[Key, GateResult | NoAnswer]
    """What each found, or why it can say nothing."""
    adjusted: dict[Key, float]
    """P-values of those that found something, such that rejecting those at or below a rate keeps the chance of any
    false one below it (Holm)."""


def family(
    candidate: Deviations,
    prefill: Deviations | None,
    floor: Floor,
    limits: Mapping[str, float],
    chance: float,
    modules: ModuleErrors | None = None,
    prefill_floor: Floor | None = None,
    known: Sequence[float] = (),
) -> Family:
    """Run all tests.

    Args:
        candidate: in decode.
        prefill: of its prefill path, where it was captured.
        floor: at least two floor runs.
        limits: by test.
        chance: of any false alarm.
        modules: errors of attentions and MLPs, where they were measured.
        prefill_floor: of the prefill path, where it is not measured over the same words.
        known: p-values of further tests, which share the rate and whose data are not at hand.
    """
    found: dict[Key, GateResult | NoAnswer] = {}
    for name, test in TESTS.items():
        limit = chance if name in WORST else limits[name]
        found[name, "decode"] = test(candidate, floor, limit)
        if name == "error_over_floor" and prefill is not None:
            found[name, "prefill"] = test(prefill, prefill_floor or floor, limit)
    if modules is not None:
        found[LAYERS, "decode"] = layers_over_floor(modules, limits[LAYERS])
    tested = {key: one for key, one in found.items() if isinstance(one, GateResult)}
    p_values = [*(one.tested.p_value for one in tested.values()), *known]
    for key, one in tested.items():
        if one.reach is not None:
            # Holm's share of the chance: that of those that are no less likely.
            rivals = sum(not other < one.tested.p_value for other in p_values)
            found[key] = replace(one, allowed=one.reach(chance / rivals))
    return Family(found, dict(zip(tested, holm(p_values)[: len(tested)], strict=True)))
