"""One trace against another, measured: every metric at every judged position.

Figures, checks and reports read from it; none of them touches logits again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npu_conformance.errors import TraceError
from npu_conformance.measure import metrics
from npu_conformance.measure.columns import HASHES, METRICS, SHOWN, Columns, joined
from npu_conformance.measure.deviations import DEVIATIONS, Deviations, sets_of

_BY_POSITION = (
    "tokens", "choices", "equal", "finite", "reference_finite", "token_logits", "reference_rms", "own_shortfall",
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Candidate against reference. All arrays have one value a judged position, prompts one after another."""

    prompts: tuple[str, ...]
    """Ids of the prompts."""
    bounds: tuple[int, ...]
    """Prompt i has the positions bounds[i] to bounds[i + 1]."""
    tokens: NDArray[np.int64]
    """The candidate's tokens; those of its own largest logits where it was made to take others."""
    choices: NDArray[np.int64]
    """The reference's greedy choice after the same prefix."""
    equal: NDArray[np.bool_]
    """Whether the two rows are bitwise the same."""
    finite: NDArray[np.bool_]
    """Whether all of the candidate's logits are finite."""
    reference_finite: NDArray[np.bool_]
    token_logits: NDArray[np.float64]
    """[positions, 4]: candidate's logit of its token and of the reference's choice, then the reference's."""
    reference_rms: NDArray[np.float64]
    """Root mean square of the reference's logits."""
    own_shortfall: NDArray[np.float64]
    """The candidate's largest logit minus its token's; 0 where it took the largest, as greedy sampling must, and
    where it was made to take one."""
    values: dict[str, NDArray[np.float64]]
    """Per-position metrics by name: all of `METRICS`, or those that few words allow (see `few_words`)."""
    deviations: Deviations
    """What gates rest on."""
    unrepeated: tuple[int, ...]
    """By prompt the rows of the candidate that a second run did not repeat bit for bit; 0 where there was none."""
    log_probs: NDArray[np.float64] | None = None
    """Natural log-probability of the candidate's token, the candidate's and the reference's [positions, 2]; None where
    it was not kept, as are the next two."""
    words: NDArray[np.int32] | None = None
    """The likeliest words of the candidate, then of the reference, largest logit first [positions, 2, 5 or fewer]; None
    too where a side has few words."""
    word_logits: NDArray[np.float32] | None = None
    """Their logits."""
    hashes: NDArray[np.uint64] | None = None
    """Of the candidate's rows (see `row_hashes`); None of few words, and where they were not kept."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def matches(self) -> NDArray[np.bool_]:
        """Where the candidate's token is the reference's choice."""
        return np.asarray(self.tokens == self.choices)

    def ties(self, width: ArrayLike) -> NDArray[np.bool_]:
        """Where the tokens differ and rounding may have decided: see `metrics.tied`."""
        with np.errstate(invalid="ignore"):  # a side may lack both tokens
            ahead, behind = (
                self.token_logits[:, first] - self.token_logits[:, second] for first, second in ((3, 2), (0, 1))
            )
        near = metrics.tied(ahead, self.reference_rms, width) & metrics.tied(behind, self.reference_rms, width)
        return np.asarray(~self.matches & near)

    def choose(self, prompts: Sequence[int]) -> "Comparison":
        """That of some prompts, in this order."""
        index = np.concatenate([np.arange(*self.bounds[prompt : prompt + 2]) for prompt in prompts])
        deviations = self.deviations.choose(prompts)
        of_positions = {name: getattr(self, name)[index] for name in _BY_POSITION}
        kept = {name: one for name in SHOWN if (one := getattr(self, name)) is not None}
        of_positions |= {name: one[index] for name, one in kept.items()}
        return replace(
            self,
            prompts=tuple(self.prompts[prompt] for prompt in prompts),
            bounds=deviations.bounds,
            values={name: values[index] for name, values in self.values.items()},
            deviations=deviations,
            unrepeated=tuple(self.unrepeated[prompt] for prompt in prompts),
            **of_positions,
        )

    def span(self, prompt: int) -> slice:
        """The positions of a prompt."""
        return slice(self.bounds[prompt], self.bounds[prompt + 1])

    def locate(self, position: int) -> tuple[int, int]:
        """Prompt index and step of a position."""
        prompt = int(np.searchsorted(self.bounds, position, side="right")) - 1
        return prompt, position - self.bounds[prompt]

    def rms_at(self, prompt: str, step: int) -> float:
        """Root mean square of the reference's logits at a step of a prompt, or at its last judged one."""
        span = self.span(self.prompts.index(prompt))
        return float(self.reference_rms[min(span.start + step, span.stop - 1)])

    def first_divergence(self, prompt: int) -> int | None:
        """First step of a prompt at which the tokens differ; None when they never do."""
        different = np.flatnonzero(~self.matches[self.span(prompt)])
        return int(different[0]) if len(different) else None


def comparison_of(
    prompts: Sequence[str], columns: Sequence[Sequence[Columns]], unrepeated: Sequence[int]
) -> Comparison:
    """What was measured of prompts.

    Args:
        prompts: their ids.
        columns: of each prompt, in parts; none of one without judged positions, but not of all.
        unrepeated: by prompt, see `Comparison`.
    """
    whole = joined([part for parts in columns for part in parts])
    lengths = [sum(len(part["tokens"]) for part in parts) for parts in columns]
    bounds = (0, *np.cumsum(lengths).tolist())
    deviations: dict[str, Any] = {name: whole[name] for name in DEVIATIONS}
    return Comparison(
        prompts=tuple(prompts),
        bounds=bounds,
        tokens=whole["tokens"],
        choices=whole["choices"],
        equal=whole["equal"],
        finite=whole["finite"],
        reference_finite=whole["reference_finite"],
        token_logits=whole["token_logits"],
        reference_rms=whole["rms"],
        own_shortfall=whole["own_shortfall"],
        values={name: whole[name] for name in METRICS if name in whole},
        deviations=Deviations(bounds, **deviations, sets=sets_of(prompts)),
        unrepeated=tuple(unrepeated),
        **{name: whole.get(name) for name in (*SHOWN, HASHES)},
    )


def require_finite(comparison: Comparison) -> None:
    """Refuse to make figures of logits that are not finite.

    Raises:
        TraceError: some are not.
    """
    bad = int((~(comparison.finite & comparison.reference_finite)).sum())
    if bad:
        raise TraceError(
            f"{bad} of {len(comparison)} positions have logits that are not finite, see finite_logits: not compared"
        )
