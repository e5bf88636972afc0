"""A run's rate of false alarms, divided among what is judged in it."""

from collections.abc import Sequence

from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.config.variants import JUDGED

# Of the rate, for base and as_served: the other variants are held against base besides, closely.
_FIRST = 0.8


def share_of(variant: str, judged: Sequence[str]) -> float:
    """A variant's share of `FALSE_ALARMS`; those of all that are judged add up to it.

    Args:
        variant: one of them.
        judged: variants of all models that are judged in the run, a name for each.
    """
    alike = sum((other in JUDGED) == (variant in JUDGED) for other in judged)
    if alike == len(judged):
        return FALSE_ALARMS / max(1, alike)
    return FALSE_ALARMS * (_FIRST if variant in JUDGED else 1 - _FIRST) / max(1, alike)
