"""Two traces into a Comparison: every metric at every judged position, once.

Figures, checks and reports read from it; none of them touches logits again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npu_conformance.errors import TraceError
from npu_conformance.measure import metrics
from npu_conformance.measure.deviations import Deviations, deviations_of
from npu_conformance.measure.kernel import Measured
from npu_conformance.traces.trace import Answer, Rows, Trace, row_digest

METRICS = ("cosine", "pearson", "relative_l2", "kl", "max_abs", "mean_abs", "top5")
"""Names of a comparison's values: see `Measured`."""
_COLUMNS: dict[str, Any] = {
    **dict.fromkeys((*METRICS, "rms"), np.float64),
    **dict.fromkeys(("choice", "reference_choice"), np.int64),
    **dict.fromkeys(("finite", "reference_finite"), np.bool_),
}


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
    deviations: Deviations
    """What gates rest on."""
    unrepeated: tuple[int, ...]
    """By prompt the rows of the candidate that a second run did not repeat bit for bit; 0 where there was none."""

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
    (found,) = compare_all([(candidate, reference)])
    if isinstance(found, TraceError):
        raise found
    return found


def compare_all(pairs: Sequence[tuple[Trace, Trace]]) -> list[Comparison | TraceError]:
    """Compare pairs of traces in one pass: rows that several of them share are read once.

    Returns:
        For each pair what `compare` returns or raises.
    """
    found: list[Comparison | TraceError | list[_Part]] = []
    for candidate, reference in pairs:
        try:
            check_same_run(candidate, reference)
            found.append([])
        except TraceError as error:
            found.append(error)
    for index in range(max((len(candidate.answers) for candidate, _ in pairs), default=0)):
        read = _reader(index)
        for at, (candidate, reference) in enumerate(pairs):
            parts = found[at]
            if isinstance(parts, list) and index < len(candidate.answers):
                try:
                    parts.append(_compare_prompt(candidate, reference, index, read))
                except TraceError as error:
                    found[at] = error
    return [
        _joined(candidate, one) if isinstance(one, list) else one
        for (candidate, _), one in zip(pairs, found, strict=True)
    ]


class _Part(NamedTuple):
    """Of a prompt."""

    rows: list[Measured]
    columns: dict[str, NDArray[Any]]
    """What a comparison has of it, by name."""


def _reader(index: int) -> Callable[[Trace], Rows]:
    """Reads the rows of a prompt, those of a folder once."""
    read: dict[Path, Rows] = {}

    def rows(trace: Trace) -> Rows:
        if trace.folder not in read:
            read[trace.folder] = trace.logits(index)
        return read[trace.folder]

    return rows


def _joined(candidate: Trace, parts: list[_Part]) -> Comparison | TraceError:
    counts = [len(part.rows) for part in parts]
    if sum(counts) == 0:
        return TraceError(f"{candidate.folder}: holds no position to compare")
    bounds = tuple(int(bound) for bound in np.cumsum([0, *counts]))
    joined: dict[str, Any] = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Comparison(
        prompts=tuple(answer.prompt for answer in candidate.answers),
        bounds=bounds,
        tokens=joined["tokens"],
        choices=joined["choices"],
        equal=joined["equal"],
        finite=joined["finite"],
        reference_finite=joined["reference_finite"],
        token_logits=joined["token_logits"],
        own_shortfall=joined["own_shortfall"],
        reference_rms=joined["rms"],
        values={name: joined[name] for name in METRICS},
        deviations=deviations_of([part.rows for part in parts]),
        unrepeated=tuple(joined["unrepeated"].tolist()),
    )


def unrepeated(run: Trace, index: int, rows: Rows) -> int:
    """Rows of a prompt that a run's second time did not repeat bit for bit; 0 without one, or of forced tokens."""
    again = run.answers[index].repeat_digests
    if again is None or run.forced:
        return 0
    pairs = zip((row_digest(row) for row in rows), again, strict=False)
    return sum(first != second for first, second in pairs) + abs(len(rows) - len(again))


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


def _compare_prompt(candidate: Trace, reference: Trace, index: int, read: Callable[[Trace], Rows]) -> _Part:
    judged = candidate.judged(index)
    mine, theirs = read(candidate)[:judged], read(reference)[:judged]
    if mine.shape != theirs.shape:
        raise TraceError(
            f"prompt {candidate.answers[index].prompt}: vocabulary of {mine.shape[1]} words in the candidate's "
            f"logits, {theirs.shape[1]} in the reference's: not the same model"
        )
    rows = metrics.measured(mine, theirs)
    columns: dict[str, NDArray[Any]] = {
        name: np.array([getattr(row, name) for row in rows], dtype=dtype) for name, dtype in _COLUMNS.items()
    }
    own, choices = columns.pop("choice"), columns.pop("reference_choice")
    taken = np.asarray(candidate.answers[index].token_ids[:judged], dtype=np.int64)
    tokens = np.maximum(own, 0) if candidate.forced else taken
    steps, shown = np.arange(judged), np.maximum(choices, 0)
    columns |= {
        "unrepeated": np.array([unrepeated(candidate, index, read(candidate))]),
        "tokens": tokens,
        "choices": choices,
        "own_shortfall": np.zeros(judged)
        if candidate.forced
        else mine.max(axis=1).astype(np.float64) - mine[steps, tokens],
        "equal": (mine.view(np.uint32) == theirs.view(np.uint32)).all(axis=1),
        "token_logits": np.stack(
            [rows[steps, words].astype(np.float64) for rows in (mine, theirs) for words in (tokens, shown)],
            axis=1,
        ),
    }
    return _Part(rows, columns)
