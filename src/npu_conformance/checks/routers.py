"""Where a mixture of experts may take other experts by rounding alone."""

import numpy as np
from numpy.typing import NDArray

from npu_conformance.measure import router
from npu_conformance.measure.floor import NoiseFloor
from npu_conformance.traces.router import load_router
from npu_conformance.traces.trace import Trace


def router_ties(reference: Trace, noise: NoiseFloor | None) -> NDArray[np.bool_] | None:
    """At which judged positions rounding may exchange an expert; None for a dense model, or without a floor.

    Raises:
        TraceError: the routers' margins cannot be read.
    """
    lengths = [len(answer.token_ids) for answer in reference.answers]
    margins = load_router(reference.folder, sum(lengths))
    own = [] if noise is None else [one.router for one in noise.runs.values()]
    known = [one for one in own if one is not None]
    if margins is None or not known:
        return None
    starts = np.cumsum([0, *lengths])
    spans = [margins[start : start + reference.judged(index)] for index, start in enumerate(starts[:-1])]
    return router.router_ties(np.concatenate(spans), known)
