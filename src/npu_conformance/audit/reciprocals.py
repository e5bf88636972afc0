"""Scales of weights that were stored as their reciprocals: some formats multiply by them, some divide."""

import re
from collections.abc import Sequence

from npu_conformance.audit.statistics import TensorStatistics
from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding, some
from npu_conformance.checkpoints.quantisation.scales import LARGEST_SCALE

_SCALE = re.compile(r"(.*\.)?(scales|weight_scale|\w+_scale_inv)")


def reciprocal_findings(checkpoint: Checkpoint, statistics: Sequence[TensorStatistics]) -> list[Finding]:
    """A suspicion where scales are all so large that the weights would be in the thousands.

    Scales that are FP8 themselves are left out: those of NVFP4 and MXFP have another scale above them.

    Args:
        checkpoint: that was scanned.
        statistics: of its tensors.
    """
    found = [
        one
        for one in statistics
        if checkpoint.announced is not None
        and _SCALE.fullmatch(one.name)
        and not checkpoint.tensors[one.name].dtype.startswith("F8")
        and one.min is not None
        and one.min > LARGEST_SCALE
    ]
    if not found:
        return []
    message = (
        f"its least scale is {found[0].min:.3g}, those of weights are at most {LARGEST_SCALE}: most likely it is "
        "stored as its reciprocal; quantise the model again"
    )
    return [Finding("suspicion", some(one.name for one in found), message)]
