"""How long a job may take before it is ended, where neither the YAML nor the command line says."""

from collections.abc import Iterable

from npu_conformance.config.limits import ReferenceDtype
from npu_conformance.machine.capacity import computes_in

USUAL = 1800.0
"""Seconds an engine may take, and a reference that is not forecast to take long."""
_READING = 3600.0
# A forecast is what the machine can do at most, so a reference is given this many times as long; and again this many in
# a dtype of 16 bits that the processor does not have, where torch computes attention in a fallback. Round numbers.
_SLACK = 10
_FALLBACK = 4
# Bytes a second that a slow disk gives and one core converts.
_SLOWEST = 16 * 2**20


def reference_deadline(seconds: float, dtypes: Iterable[ReferenceDtype]) -> float:
    """Seconds that each pass of a reference or of its noise floor may take.

    Args:
        seconds: the forecast of a pass in float32 (see `reference_cost`).
        dtypes: that it computes in.
    """
    emulated = not all(map(computes_in, dtypes))
    return max(USUAL, seconds * _SLACK * (_FALLBACK if emulated else 1))


def reading_deadline(size: float) -> float:
    """Seconds that a scan, a conversion or an audit may take.

    Args:
        size: bytes of the weights that it reads.
    """
    return max(_READING, size / _SLOWEST)
