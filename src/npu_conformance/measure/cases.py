"""The same tokens forced again in another batch, held against the first time, position by position."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from npu_conformance.measure import metrics
from npu_conformance.traces.cases import Case, Flip, Scenario


def tied(flip: Flip, width: float) -> bool:
    """Whether rounding may have exchanged the two tokens, in both runs: see `metrics.tied`."""
    return all(metrics.tied(ahead, flip.rms, width) for ahead in (flip.margin, flip.lead))


def by_scenario(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """Cases by the name of their scenario, in their order."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.scenario, []).append(case)
    return found


def farthest(cases: Iterable[Case]) -> Case:
    """The case with the largest distance; one that is not finite counts as larger than any."""
    return max(cases, key=lambda case: (case.distance != case.distance, case.distance))


def hold_against(
    before: NDArray[np.float32],
    again: NDArray[np.float32],
    scenario: Scenario,
    prompt: str,
    batch_rows: tuple[int, ...],
    copy_number: int = 0,
) -> Case:
    """Compare the logits [positions, vocabulary] of two forced decodes over the same tokens."""
    different = (before.view(np.uint32) != again.view(np.uint32)).any(axis=1)
    distance = metrics.relative_l2(again, before)
    worst = int(np.nan_to_num(distance, nan=np.inf).argmax())
    tokens, choices = metrics.choice(before), metrics.choice(again)
    # A row with a NaN chooses nothing, and is ahead by nothing.
    lost = np.float32("nan")
    flips = [
        Flip(
            step=int(step),
            token=int(tokens[step]),
            choice=int(choices[step]),
            margin=float(before[step, tokens[step]] - before[step, choices[step]] if choices[step] >= 0 else lost),
            lead=float(again[step, choices[step]] - again[step, tokens[step]] if choices[step] >= 0 else lost),
            rms=float(metrics.root_mean_square(before[step : step + 1])[0]),
        )
        for step in np.flatnonzero(tokens != choices)
    ]
    return Case(
        scenario=scenario,
        prompt=prompt,
        copy_number=copy_number,
        batch_rows=batch_rows,
        positions=len(before),
        different=int(different.sum()),
        first_different=int(different.argmax()) if different.any() else None,
        worst=worst,
        distance=float(distance[worst]),
        flips=tuple(flips),
    )
