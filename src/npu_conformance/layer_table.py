"""Hidden states of candidate and reference, layer by layer."""

from dataclasses import dataclass

import numpy as np

from npu_conformance import metrics
from npu_conformance.errors import TraceError
from npu_conformance.trace import Trace

# A layer adds to the residual stream; one that multiplies its norm by more than this is worth a look. Models in good
# health do so at most once, where a first layer writes a few large channels.
_EXPLOSION = 20.0


@dataclass(frozen=True)
class LayerRow:
    """One point of the residual stream, over the prompts whose hidden states were kept."""

    point: str
    """`embedding`, `layer 1` …, `final norm`."""
    candidate_norm: float
    """Mean Euclidean norm at the prompts' last token."""
    reference_norm: float
    growth: float | None
    """Candidate's norm over that of the point before; None at the first and after the final norm."""
    cosine: float
    """The least of any prompt."""
    relative_l2: float
    """Mean over the prompts."""
    finite: bool

    @property
    def explodes(self) -> bool:
        """Whether the norm grows by more than a healthy layer makes it."""
        return self.growth is not None and self.growth > _EXPLOSION


def layer_table(candidate: Trace, reference: Trace) -> list[LayerRow]:
    """Compare what was kept; empty where nothing was.

    Raises:
        TraceError: the two kept different points or prompts.
    """
    mine, theirs = candidate.layers(), reference.layers()
    if mine is None or theirs is None:
        return []
    if mine.points != theirs.points or mine.states.shape != theirs.states.shape:
        raise TraceError(
            f"{candidate.folder}: hidden states of {mine.states.shape[:2]} prompts and points, the reference has "
            f"{theirs.states.shape[:2]}: not the same model"
        )
    rows: list[LayerRow] = []
    for index, point in enumerate(mine.points):
        own, other = mine.states[:, index], theirs.states[:, index]
        norm = _norm(own)
        inner = 0 < index < len(mine.points) - 1
        rows.append(
            LayerRow(
                point=point,
                candidate_norm=norm,
                reference_norm=_norm(other),
                growth=norm / rows[-1].candidate_norm if inner and rows[-1].candidate_norm else None,
                cosine=float(metrics.cosine(own, other).min()),
                relative_l2=float(metrics.relative_l2(own, other).mean()),
                finite=bool(np.isfinite(own).all() and np.isfinite(other).all()),
            )
        )
    return rows


def _norm(states: np.ndarray) -> float:
    return float(np.linalg.norm(states.astype(np.float64), axis=1).mean())
