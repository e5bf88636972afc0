"""Two traces into a Comparison: every metric at every judged position, once.

Figures, checks and reports read from it; none of them touches logits again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npu_conformance.errors import TraceError
from npu_conformance.measure import metrics
from npu_conformance.traces.trace import Answer, Trace

_PER_POSITION = {
    "cosine": metrics.cosine,
    "pearson": metrics.pearson,
    "relative_l2": metrics.relative_l2,
    "kl": metrics.kl_divergence,
    "max_abs": metrics.max_abs_diff,
    "mean_abs": metrics.mean_abs_diff,
    "top5": metrics.top_k_overlap,
}
# Rows compared at a time: float64 copies of 8 rows of 151,936 words take 10 MB each.
_CHUNK = 8


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
    """Per-position metrics by name."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def matches(self) -> NDArray[np.bool_]:
        """Where the candidate's token is the reference's choice."""
        return np.asarray(self.tokens == self.choices)

    def ties(self, width: ArrayLike) -> NDArray[np.bool_]:
        """Where the tokens differ and rounding may have decided: see `metrics.tied`."""
        ahead, behind = (
            self.token_logits[:, first] - self.token_logits[:, second] for first, second in ((3, 2), (0, 1))
        )
        near = metrics.tied(ahead, self.reference_rms, width) & metrics.tied(behind, self.reference_rms, width)
        return np.asarray(~self.matches & near)

    def span(self, prompt: int) -> slice:
        """The positions of a prompt."""
        return slice(self.bounds[prompt], self.bounds[prompt + 1])

    def locate(self, position: int) -> tuple[int, int]:
        """Prompt index and step of a position."""
        prompt = int(np.searchsorted(self.bounds, position, side="right")) - 1
        return prompt, position - self.bounds[prompt]

    def first_divergence(self, prompt: int) -> int | None:
        """First step of a prompt at which the tokens differ; None when they never do."""
        different = np.flatnonzero(~self.matches[self.span(prompt)])
        return int(different[0]) if len(different) else None


def compare(candidate: Trace, reference: Trace) -> Comparison:
    """Compare at every judged position.

    Raises:
        TraceError: the traces are not of the same prompts, prompt tokens, tokens and vocabulary, or hold no
            position at all. Nothing passes because there was nothing to compare.
    """
    check_same_run(candidate, reference)
    rows = [_compare_prompt(candidate, reference, index) for index in range(len(candidate.answers))]
    counts = [len(row["tokens"]) for row in rows]
    if sum(counts) == 0:
        raise TraceError(f"{candidate.folder}: holds no position to compare")
    joined = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    return Comparison(
        prompts=tuple(answer.prompt for answer in candidate.answers),
        bounds=tuple(int(bound) for bound in np.cumsum([0, *counts])),
        tokens=joined["tokens"],
        choices=joined["choices"],
        equal=joined["equal"],
        finite=joined["finite"],
        reference_finite=joined["reference_finite"],
        token_logits=joined["token_logits"],
        own_shortfall=joined["own_shortfall"],
        reference_rms=joined["reference_rms"],
        values={name: joined[name] for name in _PER_POSITION},
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


def differing_prompt_ids(candidate: Trace, reference: Trace) -> Iterator[tuple[Answer, str, tuple[int, ...]]]:
    """Prompts whose token ids are not identical: the answer, what differs, and the ids expected."""
    for mine, theirs in zip(candidate.answers, reference.answers, strict=True):
        if mine.prompt_ids != theirs.prompt_ids:
            yield mine, "given to the candidate", theirs.prompt_ids
        elif mine.own_prompt_ids is not None and mine.own_prompt_ids != theirs.prompt_ids:
            yield mine, "of the engine's own tokenisation", theirs.prompt_ids


def check_same_run(candidate: Trace, reference: Trace) -> None:
    """Refuse traces that are not of the same prompts, prompt tokens and tokens.

    Raises:
        TraceError: they are not.
    """
    ids, other = ([answer.prompt for answer in trace.answers] for trace in (candidate, reference))
    if ids != other:
        raise TraceError(
            f"{candidate.folder} and {reference.folder}: prompts differ ({len(ids)} and {len(other)}, first "
            f"difference {next((a for a, b in zip(ids, other, strict=False) if a != b), 'in number')!r}): "
            "not traces of the same run"
        )
    for mine, theirs in zip(candidate.answers, reference.answers, strict=True):
        if mine.prompt_ids != theirs.prompt_ids or mine.token_ids != theirs.token_ids:
            raise TraceError(
                f"prompt {mine.prompt}: the reference scored other tokens than the candidate produced "
                f"({len(theirs.prompt_ids)}+{len(theirs.token_ids)} against "
                f"{len(mine.prompt_ids)}+{len(mine.token_ids)}): not traces of the same run"
            )


def _compare_prompt(candidate: Trace, reference: Trace, index: int) -> dict[str, NDArray[np.generic]]:
    judged = candidate.judged(index)
    mine, theirs = candidate.logits(index)[:judged], reference.logits(index)[:judged]
    if mine.shape != theirs.shape:
        raise TraceError(
            f"prompt {candidate.answers[index].prompt}: vocabulary of {mine.shape[1]} words in the candidate's "
            f"logits, {theirs.shape[1]} in the reference's: not the same model"
        )
    taken = np.asarray(candidate.answers[index].token_ids[:judged], dtype=np.int64)
    tokens = np.maximum(metrics.choice(mine), 0) if candidate.forced else taken
    choices = metrics.choice(theirs)
    steps = np.arange(judged)
    shown = np.maximum(choices, 0)
    result: dict[str, NDArray[np.generic]] = {
        "tokens": tokens,
        "choices": choices,
        "own_shortfall": np.zeros(judged)
        if candidate.forced
        else mine.max(axis=1).astype(np.float64) - mine[steps, tokens],
        "equal": (mine.view(np.uint32) == theirs.view(np.uint32)).all(axis=1),
        "finite": metrics.finite(mine),
        "reference_finite": metrics.finite(theirs),
        "reference_rms": metrics.root_mean_square(theirs),
        "token_logits": np.stack(
            [rows[steps, words].astype(np.float64) for rows in (mine, theirs) for words in (tokens, shown)],
            axis=1,
        ),
    }
    chunks = [slice(start, start + _CHUNK) for start in range(0, judged, _CHUNK)]
    for name, metric in _PER_POSITION.items():
        parts = [metric(mine[chunk], theirs[chunk]) for chunk in chunks]
        result[name] = np.concatenate(parts) if parts else np.empty(0)
    return result
