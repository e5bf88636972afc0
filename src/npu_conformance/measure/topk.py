"""Logits reduced to few words: all that some engines give, and what makes a run fit into git.

Which words are kept the reference decides wherever it can: had a candidate a say, its errors would choose where to be
looked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npu_conformance.measure import metrics
from npu_conformance.measure.deviations import Deviations, of_position
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.topk_rows import Ids, TopKRows, Values

WORDS = 16
"""The reference's likeliest words, over which a floor run's distribution is kept."""
Side = Rows | TopKRows
"""What a trace has of some positions of a prompt."""


@dataclass(frozen=True)
class TopK:
    """A run's distributions over a few words, one row a judged position, prompts one after another."""

    log_probs: Values
    """Natural logarithms of the words' probabilities [positions, words]; NaN of one that the run's rows lack, which
    is among all others then."""
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


def topk(rows: Side, words: Ids) -> TopK:
    """The distributions of rows over given words.

    Args:
        rows: float32 [positions, vocabulary], or likeliest words; such as are not finite give NaN.
        words: [positions, count].
    """
    if isinstance(rows, TopKRows):
        return _of_words(rows, words)
    log_probs, tails = np.empty(words.shape), np.empty(len(rows))
    with np.errstate(invalid="ignore", divide="ignore"):
        for at, (row, kept) in enumerate(zip(rows, words, strict=True)):
            shifted = np.subtract(row, row.max(), dtype=np.float64)
            log_probs[at] = shifted[kept]
            likely = np.exp(shifted, out=shifted)
            whole = likely.sum()
            log_probs[at] -= np.log(whole)
            # Summed over the others: one minus the kept ones would leave rounding where one word is sure.
            likely[kept] = 0
            tails[at] = likely.sum() / whole
    return TopK(log_probs, tails, metrics.choice(rows))


def fewer(run: TopK, count: int) -> TopK:
    """The same over the first `count` of its words: the others go to the tail."""
    dropped = np.exp(run.log_probs[:, count:]).sum(axis=1)
    return TopK(run.log_probs[:, :count], run.tail + dropped, run.choices)


def _of_words(rows: TopKRows, words: Ids) -> TopK:
    same = rows.words[:, None, :] == words[:, :, None]
    kept = np.where(same, rows.log_probs[:, None, :], 0.0).sum(axis=2)
    others = np.where(same.any(axis=1), 0.0, np.exp(rows.log_probs)).sum(axis=1)
    known = same.any(axis=2) & rows.finite[:, None]
    return TopK(np.where(known, kept, np.nan), np.where(rows.finite, rows.tail + others, np.nan), rows.choices)


def join(parts: Sequence[TopK]) -> TopK:
    """Distributions of prompts one after another."""
    return TopK(
        np.concatenate([part.log_probs for part in parts]),
        np.concatenate([part.tail for part in parts]),
        np.concatenate([part.choices for part in parts]),
    )


def kl_at_least(run: TopK, reference: TopK) -> Values:
    """A lower bound of KL(reference ‖ run) in nats [positions]: that of the words, with all others as one more.

    Words that the run lacks are among all others on both sides.

    Source: the log sum inequality (Cover and Thomas, Elements of Information Theory, theorem 2.7.1): putting words
    together never makes the divergence larger.
    """
    lacking, likely = np.isnan(run.log_probs), np.exp(reference.log_probs)
    others = reference.tail + np.where(lacking, likely, 0.0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.where(lacking, 0.0, likely * (reference.log_probs - run.log_probs)).sum(axis=1)
        # What rounding left nothing of is not infinitely wrong.
        tail = np.maximum(run.tail, np.finfo(np.float32).tiny)
        rest = np.where(others == 0, 0.0, others * np.log(others / tail))
    return np.asarray(np.maximum(kept + rest, 0.0))


def topk_deviations(run: TopK, reference: TopK, sizes: Values, bounds: tuple[int, ...]) -> Deviations:
    """How a run deviates from the reference over the words that both have, in the numbers that gates rest on.

    Args:
        run: to measure.
        reference: at the same positions, over the same words.
        sizes: root mean square of the reference's whole rows [positions], so that leads are in the units of whole rows;
            NaN where nobody saw those, which gives NaN.
        bounds: prompt i has the positions bounds[i] to bounds[i + 1].
    """
    known = ~np.isnan(run.log_probs)
    rows = [
        of_position(mine[both], theirs[both], size)
        for mine, theirs, both, size in zip(run.log_probs, reference.log_probs, known, sizes, strict=True)
    ]
    row, logit, gain, difference, margin = (np.array([one[part] for one in rows]) for part in range(5))
    flipped, shape = run.choices != reference.choices, (len(rows), -1)
    return Deviations(bounds, row, logit, gain, flipped, difference.reshape(shape), margin.reshape(shape))
