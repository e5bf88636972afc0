"""The first position at which a failing run leaves what rounding explains."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npu_conformance.checks.pair import Pair
from npu_conformance.workers.job import ForcedPart

# Positions of a clean run differ in how well they are conditioned; twice the worst of them is beyond rounding.
_BEYOND = 2.0


@dataclass(frozen=True)
class Position:
    """Where a run leaves the noise."""

    part: ForcedPart
    prompt: int
    """Index of the prompt in that part."""
    step: int
    distance: float
    """Relative L2 distance there."""
    noise: float
    """The largest of a clean run."""
    told: str
    """The position for people."""
    beyond: int
    """Positions beyond the noise in this part."""
    positions: int
    """All of them."""
    row: int | None
    """The engine's batch row that all positions beyond share, where they do and others do not."""


def first_beyond(part: ForcedPart, failing: Pair, noise: float) -> Position | None:
    """The position with the smallest step beyond the noise, of several the one that is worst; None without any.

    Args:
        part: name of the part of the trace.
        failing: the failing run against what it is held against.
        noise: largest relative L2 distance of a clean run.
    """
    comparison, distance = failing.comparison, _distances(failing)
    beyond = np.flatnonzero(distance > _BEYOND * noise)
    if not len(beyond):
        return None
    first = min(beyond.tolist(), key=lambda position: (comparison.locate(position)[1], -distance[position]))
    return _position(part, failing, noise, first, beyond)


def worst(part: ForcedPart, failing: Pair, noise: float) -> Position:
    """The position with the largest distance, for an error that is small and everywhere."""
    return _position(part, failing, noise, int(_distances(failing).argmax()), np.empty(0, dtype=np.int64))


def _distances(failing: Pair) -> NDArray[np.float64]:
    """Relative L2 by position; logits that are not finite are beyond everything."""
    return np.asarray(np.nan_to_num(failing.comparison.values["relative_l2"], nan=np.inf))


def _position(part: ForcedPart, failing: Pair, noise: float, at: int, beyond: NDArray[np.int64]) -> Position:
    prompt, step = failing.comparison.locate(at)
    return Position(
        part=part,
        prompt=prompt,
        step=step,
        distance=float(failing.comparison.values["relative_l2"][at]),
        noise=noise,
        told=failing.place(at),
        beyond=len(beyond),
        positions=len(failing.comparison),
        row=_common_row(failing, beyond) if len(beyond) else None,
    )


def largest(distances: NDArray[np.float64]) -> float:
    """The largest finite distance; 0 without any."""
    finite = distances[np.isfinite(distances)]
    return float(finite.max()) if len(finite) else 0.0


def _common_row(failing: Pair, beyond: NDArray[np.int64]) -> int | None:
    """The batch row of all positions beyond the noise, if there is one and other rows exist."""
    comparison, answers = failing.comparison, failing.candidate.answers
    places = [comparison.locate(position) for position in range(len(comparison))]
    rows = []
    for prompt, step in places:
        known = answers[prompt].batch_rows
        if known is None or step >= len(known):
            return None
        rows.append(known[step])
    found = {rows[int(position)] for position in beyond}
    return found.pop() if len(found) == 1 and len(set(rows)) > 1 else None
