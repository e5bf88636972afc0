"""Cases: the same tokens walked again in another batch, held against the first time, position by position."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from npu_conformance.measure import metrics

Scenario = Literal["identical prompts in a batch", "alone", "another batch order", "joining while others decode"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="strings")


class Flip(_Part):
    """A position whose largest logit is another token's than before."""

    step: int
    token: int
    """The token that was taken before."""
    choice: int
    """The one that would be taken now."""
    margin: float
    """By how much the first was ahead before, in logits."""
    lead: float
    """By how much the other is ahead now."""
    rms: float
    """Root mean square of the row's logits before."""

    def tied(self, width: float) -> bool:
        """Whether rounding may have exchanged the two, in both runs: see `metrics.tied`."""
        return all(metrics.tied(ahead, self.rms, width) for ahead in (self.margin, self.lead))


class Case(_Part):
    """One prompt in one scenario."""

    scenario: Scenario
    prompt: str
    """`set/id` of the prompt."""
    copy_number: int = 0
    """Which of several copies of the prompt in the batch."""
    batch_rows: tuple[int, ...]
    """The engine's batch row of each position."""
    positions: int
    different: int
    """Positions whose logits are not bitwise those of the first time."""
    first_different: int | None
    worst: int
    """Position with the largest relative L2 distance."""
    distance: float
    """That distance; NaN where a row is not finite."""
    flips: tuple[Flip, ...]

    def place(self, step: int) -> str:
        """A position for people."""
        copy = f" (copy {self.copy_number})" if self.copy_number else ""
        row = f", batch row {self.batch_rows[step]}" if step < len(self.batch_rows) else ""
        return f"{self.prompt}{copy}, position {step}{row}"


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
    """Compare the logits [positions, vocabulary] of two walks over the same tokens."""
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
