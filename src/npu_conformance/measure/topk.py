"""Logits reduced to the few words that the reference thinks likeliest, so that a run fits into git.

Which words are kept the reference alone decides: had a candidate a say, its errors would choose where to be looked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npu_conformance.measure import metrics
from npu_conformance.measure.deviations import Deviations, of_position
from npu_conformance.traces.rows import Rows

Ids = NDArray[np.int32]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class TopK:
    """A run's distributions over a few words, one row a judged position, prompts one after another."""

    log_probs: Values
    """Natural logarithms of the words' probabilities [positions, words]."""
    tail: Values
    """Probability of all other words [positions], 0 to 1."""
    choices: NDArray[np.int64]
    """The greedy token among the whole vocabulary, -1 where a NaN leaves none [positions]."""


def likeliest(rows: Rows, count: int) -> Ids:
    """The words with the largest logits, largest first.

    Args:
        rows: float32 [positions, vocabulary].
        count: of words; all of a smaller vocabulary.
    """
    count = min(count, rows.shape[1])
    # In the order of ids first, so that of equal logits the first wins, as in `metrics.choice`.
    found = np.sort(np.argpartition(rows, -count, axis=1)[:, -count:], axis=1)
    order = np.argsort(-np.take_along_axis(rows, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1).astype(np.int32)


def topk(rows: Rows, words: Ids) -> TopK:
    """The distributions of rows over given words.

    Args:
        rows: float32 [positions, vocabulary]; such as are not finite give NaN.
        words: [positions, count].
    """
    # The row's largest logit is taken off first, so that float32 loses no digit that the sums in float64 keep.
    log_probs, tails = np.empty(words.shape), np.empty(len(rows))
    with np.errstate(invalid="ignore", divide="ignore"):
        for at, (row, kept) in enumerate(zip(rows, words, strict=True)):
            peak = row.max()
            likely = np.exp(row - peak)
            whole = likely.sum(dtype=np.float64)
            log_probs[at] = np.subtract(row[kept], peak, dtype=np.float64) - np.log(whole)
            # Summed over the others: one minus the kept ones would leave rounding where one word is sure.
            likely[kept] = 0
            tails[at] = likely.sum(dtype=np.float64) / whole
    return TopK(log_probs, tails, metrics.choice(rows))


def fewer(run: TopK, count: int) -> TopK:
    """The same over the first `count` of its words: the others go to the tail."""
    dropped = np.exp(run.log_probs[:, count:]).sum(axis=1)
    return TopK(run.log_probs[:, :count], run.tail + dropped, run.choices)


def join(parts: Sequence[TopK]) -> TopK:
    """Distributions of prompts one after another."""
    return TopK(
        np.concatenate([part.log_probs for part in parts]),
        np.concatenate([part.tail for part in parts]),
        np.concatenate([part.choices for part in parts]),
    )


def kl_at_least(run: TopK, reference: TopK) -> Values:
    """A lower bound of KL(reference ‖ run) in nats [positions]: that of the words, with all others as one more.

    Source: the log sum inequality (Cover and Thomas, Elements of Information Theory, theorem 2.7.1): putting words
    together never makes the divergence larger.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = (np.exp(reference.log_probs) * (reference.log_probs - run.log_probs)).sum(axis=1)
        rest = np.where(reference.tail == 0, 0.0, reference.tail * np.log(reference.tail / run.tail))
    return np.asarray(np.maximum(kept + rest, 0.0))


def topk_deviations(run: TopK, reference: TopK, sizes: Values, bounds: tuple[int, ...]) -> Deviations:
    """How a run deviates from the reference over the kept words, in the numbers that gates rest on.

    Args:
        run: to measure.
        reference: at the same positions, over the same words.
        sizes: root mean square of the reference's whole rows [positions], so that leads are in the units of whole rows.
        bounds: prompt i has the positions bounds[i] to bounds[i + 1].
    """
    rows = [
        of_position(mine, theirs, size)
        for mine, theirs, size in zip(run.log_probs, reference.log_probs, sizes, strict=True)
    ]
    row, logit, gain, difference = (np.array([one[part] for one in rows]) for part in range(4))
    return Deviations(bounds, row, logit, gain, run.choices != reference.choices, difference.reshape(len(rows), -1))
