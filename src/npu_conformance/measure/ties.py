"""Ties: tokens so near each other that rounding may exchange them, as the noise floor shows.

The width of a tie comes from the floor runs' errors alone: a candidate's own would make a tie of every mismatch.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npu_conformance.measure.deviations import Deviations

# Spreads of the error of a lead. Rounding's errors have heavier tails than a normal's, whose 4 spreads are 1 in 16,000.
_SPREADS = 4.0


@dataclass(frozen=True)
class TieWidths:
    """By how much a token may lead another and yet be exchanged with it, over the root mean square of the logits."""

    bounds: tuple[int, ...]
    """Prompt i has the positions bounds[i] to bounds[i + 1]."""
    positions: NDArray[np.float64]
    """At each position: of the floor's errors of a lead there, or of all where these are larger."""
    overall: float
    """Anywhere else."""

    def place(self, prompt: int, step: int) -> int:
        """Index of a step of a prompt, or of its last judged one, among the positions."""
        return min(self.bounds[prompt] + step, self.bounds[prompt + 1] - 1)


def tie_widths(floor: Mapping[str, Deviations]) -> TieWidths:
    """Widths from the errors of leads [positions, runners-up] of at least one floor run."""
    errors = np.square(np.stack([one.difference for one in floor.values()]))
    overall = float(np.sqrt(errors.mean()))
    here = np.sqrt(errors.mean(axis=(0, 2)))
    bounds = next(iter(floor.values())).bounds
    return TieWidths(bounds, _SPREADS * np.maximum(here, overall), _SPREADS * overall)
