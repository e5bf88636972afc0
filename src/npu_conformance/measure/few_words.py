"""A pair of which one side has the likeliest words of each position alone: the metrics that they allow.

The divergence is over the words that a side has: the reference's where it has no others, as a baseline, else the
candidate's. What gates rest on is over the reference's likeliest words, half as many as the candidate gives, which then
has nearly all of them: had a candidate a say, its errors would choose where they are looked for.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from npu_conformance.errors import TraceError
from npu_conformance.measure import metrics
from npu_conformance.measure.columns import Columns
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.kernel import TOP
from npu_conformance.measure.topk import WORDS, Side, TopK, kl_at_least, likeliest, topk, topk_deviations
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.topk_rows import Ids, TopKRows, Values

# Words that a position is compared over, at least.
_FEWEST = 2


def measure_words(prompt: str, mine: Side, theirs: Side, taken: Sequence[int] | None) -> Columns:
    """Positions of a prompt, measured over few words; by the names of `Comparison` and `Deviations`.

    Logits of tokens are log-probabilities, which differ from logits by the same number for all of a row. A token that a
    side lacks has minus infinity, so that it is never a tie.

    Args:
        prompt: its name.
        mine: the candidate's.
        theirs: the reference's; one of the two has likeliest words.
        taken: the candidate's tokens [positions]; None where it was made to take others.

    Raises:
        TraceError: a word or a token is beyond the other side's vocabulary.
    """
    words = _words(prompt, mine, theirs, taken)
    run, exact = topk(mine, words), topk(theirs, words)
    finite, reference_finite = _finite(mine), _finite(theirs)
    sizes = theirs.rms if isinstance(theirs, TopKRows) else metrics.root_mean_square(theirs)
    own, choices = np.maximum(run.choices, 0), np.maximum(exact.choices, 0)
    tokens = own if taken is None else np.asarray(taken, dtype=np.int64)
    asked = np.stack([tokens, choices, own], axis=1)
    of_mine, of_theirs = _log_probs(mine, asked), _log_probs(theirs, asked)
    found = _deviations(mine, theirs, sizes, run, exact)
    with np.errstate(invalid="ignore"):
        shortfall = np.zeros(len(words)) if taken is None else of_mine[:, 2] - of_mine[:, 0]
    return {
        "tokens": tokens,
        "choices": exact.choices,
        "own_shortfall": shortfall,
        "equal": np.zeros(len(words), dtype=bool),
        "finite": finite,
        "reference_finite": reference_finite,
        "token_logits": np.concatenate([of_mine[:, :2], of_theirs[:, :2]], axis=1),
        "log_probs": np.stack([of_mine[:, 0], of_theirs[:, 0]], axis=1),
        "rms": sizes,
        "kl": kl_at_least(run, exact),
        "top5": np.where(finite & reference_finite, _overlap(mine, theirs), np.nan),
        "relative_l2": np.exp(found.row),
        **found.columns,
    }


def _deviations(mine: Side, theirs: Side, sizes: Values, run: TopK, exact: TopK) -> Deviations:
    """Over the words of `run` and `exact`, or over the reference's where it has all."""
    if isinstance(mine, TopKRows) and not isinstance(theirs, TopKRows):
        words = compared_words(mine, theirs)
        exact = topk(theirs, words)
        run = bounded(mine, topk(mine, words), exact)
    return topk_deviations(run, exact, sizes, (0, len(sizes)))


def compared_words(mine: TopKRows, theirs: Rows) -> Ids:
    """The words over which a candidate that gives few is held against whole rows of the reference."""
    return likeliest(theirs, WORDS)[:, : max(_FEWEST, mine.words.shape[1] // 2)]


def bounded(rows: TopKRows, run: TopK, exact: TopK) -> TopK:
    """A run with what is known of the words that its rows lack: they are no likelier than the least that it gives.

    Where the reference is beyond that, the word is off by so much at least; else nothing is known of it: it stays NaN.
    """
    least = rows.log_probs[:, -1:]
    beyond = np.isnan(run.log_probs) & (exact.log_probs > least)
    return replace(run, log_probs=np.where(beyond, least, run.log_probs))


def _words(prompt: str, mine: Side, theirs: Side, taken: Sequence[int] | None) -> Ids:
    """The words that are compared."""
    sides = [side for side in (theirs, mine) if isinstance(side, TopKRows)]
    last = max((int(sides[0].words.max()), *(taken or ())))
    for whole in (mine, theirs):
        if not isinstance(whole, TopKRows) and last >= whole.shape[1]:
            raise TraceError(
                f"prompt {prompt}: token #{last} on one side, a vocabulary of {whole.shape[1]} words on the other: not "
                "the same model"
            )
    return sides[0].words


def _finite(rows: Side) -> NDArray[np.bool_]:
    return rows.finite if isinstance(rows, TopKRows) else metrics.finite(rows)


def _log_probs(rows: Side, tokens: NDArray[np.int64]) -> Values:
    """Of some tokens of each position [positions, tokens]."""
    if not isinstance(rows, TopKRows):
        return np.take_along_axis(metrics.log_softmax(rows), tokens, axis=1)
    found = topk(rows, tokens.astype(np.int32)).log_probs
    return np.where(np.isnan(found), -np.inf, found)


def _overlap(mine: Side, theirs: Side) -> Values:
    """Share of the likeliest `TOP` words of either side, or of as many as both have, that are the other's too."""
    sides = [side.words if isinstance(side, TopKRows) else side for side in (mine, theirs)]
    count = min(TOP, *(side.shape[1] for side in sides))
    top, other = (
        side.words[:, :count] if isinstance(side, TopKRows) else np.argpartition(side, -count, axis=1)[:, -count:]
        for side in (mine, theirs)
    )
    return np.asarray((top[:, :, None] == other[:, None, :]).any(axis=2).mean(axis=1))
