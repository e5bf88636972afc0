"""Hidden states of candidate and reference, layer by layer."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from npu_conformance.errors import TraceError
from npu_conformance.measure import metrics
from npu_conformance.traces.trace import Trace

# Layers add to the residual stream. A first one may well multiply what is left of an embedding, later ones do not, and
# from the first to the last a healthy stack grows by some tens.
_FIRST, _LATER, _ALL = 50.0, 20.0, 200.0


class LayerRow(BaseModel):
    """One point of the residual stream, over the prompts whose hidden states were kept."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="strings")

    point: str
    """`embedding`, `model.layers.0` …, `final norm`."""
    candidate_norm: float
    """Mean Euclidean norm at the prompts' last token."""
    reference_norm: float
    growth: float | None
    """Candidate's norm over that of the point before; None at the first and after the final norm."""
    cosine: float
    """The least of any prompt."""
    relative_l2: float
    """Mean over the prompts."""
    norm_deviation: float
    """|candidate's norm / reference's - 1|, of the means."""
    finite: bool
    explodes: bool
    """Whether the norm is beyond what a healthy stack of layers makes of it."""


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
        norm, reference_norm = _norm(own), _norm(other)
        growth = norm / rows[-1].candidate_norm if 0 < index < len(mine.points) - 1 else None
        rows.append(
            LayerRow(
                point=point,
                candidate_norm=norm,
                reference_norm=reference_norm,
                growth=growth,
                cosine=float(metrics.cosine(own, other).min()),
                relative_l2=float(metrics.relative_l2(own, other).mean()),
                norm_deviation=abs(norm / reference_norm - 1) if reference_norm else float("nan"),
                finite=bool(np.isfinite(own).all() and np.isfinite(other).all()),
                explodes=_explodes(growth, norm, rows),
            )
        )
    return rows


def _explodes(growth: float | None, norm: float, before: list[LayerRow]) -> bool:
    if growth is None or len(before) < 2:
        return growth is not None and growth > _FIRST
    return growth > _LATER or norm > _ALL * before[1].candidate_norm


def _norm(states: np.ndarray) -> float:
    return float(np.linalg.norm(states.astype(np.float64), axis=1).mean())
