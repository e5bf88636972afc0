"""The first layer whose hidden states leave what a clean run's do."""

from dataclasses import dataclass

import numpy as np

from npu_conformance.errors import TraceError
from npu_conformance.measure import metrics
from npu_conformance.traces.layers import Layers

# A clean run's states scatter from position to position; beyond twice the worst of several is no scatter.
_BEYOND = 2.0


@dataclass(frozen=True)
class LayerFinding:
    """One point of the residual stream at the failing position."""

    point: str
    """`embedding`, `model.layers.0` …, `final norm`: after the layer, before and after the last norm."""
    norm: float
    reference_norm: float
    cosine: float
    distance: float
    """Relative L2 distance to what the run is held against."""
    clean_distance: float
    """The largest of the clean run's."""
    norm_deviation: float
    """|norm / reference's norm - 1|."""
    clean_norm_deviation: float
    """The largest of the clean run's."""
    allowed_norm_deviation: float = 0.0
    """What the model's config allows of any layer: a few clean positions may agree on a norm by chance."""

    @property
    def beyond(self) -> bool:
        """Whether it leaves the clean spread, in its direction or in its norm alone. NaN does."""
        inside = self.distance <= _BEYOND * self.clean_distance
        norm = max(_BEYOND * self.clean_norm_deviation, self.allowed_norm_deviation)
        return not (inside and self.norm_deviation <= norm)


def layer_findings(
    failing: Layers, clean: Layers | None, reference: Layers, allowed_norm_deviation: float = 0.0
) -> list[LayerFinding]:
    """Point by point, the failing position's states and the spread of a clean run's.

    Args:
        failing: states of the failing run, the failing position first.
        clean: states of a clean run at the same positions; None where two runs are to be bitwise equal.
        reference: what both are held against, at the same positions.
        allowed_norm_deviation: of any layer, see `LayerFinding`.

    Raises:
        TraceError: they are not of the same points.
    """
    for other in (reference, clean):
        if other is not None and other.points != failing.points:
            raise TraceError(f"points of {len(failing.points)} and of {len(other.points)} layers: not the same model")
    findings = []
    for index, point in enumerate(failing.points):
        theirs = reference.states[:, index]
        own = failing.states[:1, index]
        spread = theirs if clean is None else clean.states[:, index]
        findings.append(
            LayerFinding(
                point=point,
                norm=_norms(own)[0],
                reference_norm=_norms(theirs)[0],
                cosine=float(metrics.cosine(own, theirs[:1])[0]),
                distance=float(metrics.relative_l2(own, theirs[:1])[0]),
                clean_distance=float(metrics.relative_l2(spread, theirs).max()),
                norm_deviation=_deviations(own, theirs[:1])[0],
                clean_norm_deviation=float(np.max(_deviations(spread, theirs))),
                allowed_norm_deviation=allowed_norm_deviation,
            )
        )
    return findings


def first_layer(findings: list[LayerFinding]) -> LayerFinding | None:
    """The first point beyond the clean spread; None where the states do not show the fault."""
    return next((finding for finding in findings if finding.beyond), None)


def _norms(states: np.ndarray) -> list[float]:
    return [float(norm) for norm in np.linalg.norm(states.astype(np.float64), axis=1)]


def _deviations(own: np.ndarray, theirs: np.ndarray) -> list[float]:
    pairs = zip(_norms(own), _norms(theirs), strict=True)
    return [abs(mine / other - 1) if other else float("nan") for mine, other in pairs]
