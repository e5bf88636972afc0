"""Router ties: positions at which rounding may exchange an expert of a mixture, as the noise floor shows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Margins = NDArray[np.float32]
"""Of routers [positions, layers]: the logit of the last expert that is chosen over that of the next."""

# As of ties of tokens.
_SPREADS = 4.0


def router_ties(reference: Margins, floor: Sequence[Margins]) -> NDArray[np.bool_]:
    """Where a margin of the reference, in any layer, is within four spreads of the floor runs' errors of margins.

    Args:
        reference: its margins.
        floor: those of at least one floor run at the same positions.

    Returns:
        [positions]
    """
    known = np.isfinite(reference)
    errors = np.concatenate([one[known] - reference[known] for one in floor])
    spread = float(np.sqrt(np.square(errors, dtype=np.float64).mean())) if len(errors) else 0.0
    return np.asarray((known & (reference <= _SPREADS * spread)).any(axis=1))
