"""How logits deviate from the reference's, position by position, in the numbers that gates rest on.

A candidate and the floor runs of its noise floor are measured alike, so that one can be held against the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.measure.kernel import RUNNERS_UP, Measured

Values = NDArray[np.float64]
EQUAL = float(np.log(np.finfo(np.float32).tiny))
"""Logarithm of the smallest deviation: that of rows that are equal bit for bit."""


@dataclass(frozen=True)
class Deviations:
    """Of one run, one row a judged position, prompts one after another."""

    bounds: tuple[int, ...]
    """Prompt i has the positions bounds[i] to bounds[i + 1]."""
    row: Values
    """Logarithm of the relative L2 error ‖x - r‖ / ‖r‖ [positions]."""
    logit: Values
    """Logarithm of the largest |x - r| of the vocabulary, over the root mean square of r [positions]."""
    gain: Values
    """Signed error along the reference: Σ (x - r)(r - r̄) / Σ (r - r̄)² [positions]; 0.01 for logits scaled by 1.01."""
    flipped: NDArray[np.bool_]
    """Whether the largest logit is another token's than the reference's [positions]."""
    difference: Values
    """Error of the reference's choice's lead over its runners-up, over the root mean square of r
    [positions, RUNNERS_UP]."""
    margin: Values
    """That lead itself, of the reference, in the same unit [positions, RUNNERS_UP]."""
    sets: tuple[str, ...] = ()
    """The set of each prompt [prompts]; nothing where nobody asks."""
    routed: bool = False
    """Whether the model is a mixture of experts, of which rounding exchanges one here and there."""

    def __len__(self) -> int:
        return len(self.row)

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """All that has a value a position, by name."""
        return {name: getattr(self, name) for name in DEVIATIONS}

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Positions of each prompt [prompts]."""
        return np.diff(np.asarray(self.bounds, dtype=np.int64))

    @property
    def spans(self) -> list[slice]:
        """The positions of each prompt that has any."""
        return [slice(start, end) for start, end in zip(self.bounds, self.bounds[1:], strict=False) if end > start]

    def by_prompt(self, values: Values) -> Values:
        """Mean of values [positions] over each prompt's [prompts]; prompts without positions are left out."""
        return np.array([values[span].mean() for span in self.spans])

    def by_set(self) -> dict[str, NDArray[np.int64]]:
        """Places of each set's prompts among those that `by_prompt` gives a mean of."""
        kept = np.array(self.sets)[self.lengths > 0] if self.sets else np.array([])
        return {str(name): np.flatnonzero(kept == name) for name in dict.fromkeys(kept.tolist())}

    def choose(self, prompts: Sequence[int]) -> "Deviations":
        """Those of some prompts, in this order; a prompt may come again."""
        spans = [np.arange(self.bounds[prompt], self.bounds[prompt + 1]) for prompt in prompts]
        index = np.concatenate(spans)
        bounds = (0, *np.cumsum([len(span) for span in spans]).tolist())
        sets = tuple(self.sets[prompt] for prompt in prompts) if self.sets else ()
        chosen: dict[str, Any] = {name: values[index] for name, values in self.columns.items()}
        return Deviations(bounds, **chosen, sets=sets, routed=self.routed)


DEVIATIONS = tuple(one.name for one in fields(Deviations) if one.name not in ("bounds", "sets", "routed"))
"""What has a value a position."""


def sets_of(prompts: Sequence[str]) -> tuple[str, ...]:
    """The set of each prompt, from their ids, `set/id`."""
    return tuple(prompt.partition("/")[0] for prompt in prompts)


def deviations_of(found: Measured) -> dict[str, NDArray[Any]]:
    """The columns of what was measured of positions; logits that are not finite give NaN, which no limit keeps."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "row": np.maximum(np.log(found.relative_l2), EQUAL),
            "logit": np.maximum(np.log(found.max_abs / found.rms), EQUAL),
            "gain": found.gain,
            "flipped": found.choice != found.reference_choice,
            "difference": found.leads / found.rms[:, None],
            "margin": found.margins / found.rms[:, None],
        }


def of_position(mine: Values, exact: Values, size: float) -> tuple[float, float, float, Values, Values]:
    """The deviations of one row of logits or log-probabilities [words]: row, logit, gain, difference and margin.

    Leads over runners-up that are not among the words are NaN, and so is all where there is no word.

    Args:
        mine: of the run.
        exact: of the reference.
        size: root mean square of the reference's logits.
    """
    difference, margin = np.full((2, RUNNERS_UP), np.nan)
    if not len(exact):
        return np.nan, np.nan, np.nan, difference, margin
    error, centred = mine - exact, exact - exact.mean()
    count = min(RUNNERS_UP + 1, len(exact))
    top = np.argpartition(exact, -count)[-count:]
    top = top[np.argsort(-exact[top])]
    with np.errstate(divide="ignore", invalid="ignore"):
        row = np.log(np.sqrt(np.square(error).mean()) / size)
        logit = np.log(np.abs(error).max() / size)
        gain = float(error @ centred / (centred @ centred))
        difference[: count - 1] = (error[top[0]] - error[top[1:]]) / size
        margin[: count - 1] = (exact[top[0]] - exact[top[1:]]) / size
    return max(row, EQUAL), max(logit, EQUAL), gain, difference, margin
