"""The noise floor over few words: what floor runs deviate where a candidate gives only its likeliest words.

Floor runs are measured over the words that the candidate is measured over, position by position, so that gates hold
like against like.
"""

from collections.abc import Mapping

import numpy as np

from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.few_words import bounded, compared_words
from npu_conformance.measure.floor import FloorRun
from npu_conformance.measure.metrics import root_mean_square
from npu_conformance.measure.topk import TopK, fewer, topk, topk_deviations
from npu_conformance.traces.trace import Trace

# Rows of the reference that are held at a time.
_ROWS = 32


def floor_of_words(candidate: Trace, reference: Trace, runs: Mapping[str, FloorRun]) -> dict[str, Deviations]:
    """Deviations of floor runs over the words of a candidate's rows, at its judged positions.

    Args:
        candidate: whose rows are likeliest words.
        reference: with whole rows, of the same tokens.
        runs: of the floor, whose words are the reference's `WORDS` likeliest.

    Raises:
        TraceError: rows cannot be read.
    """
    found: dict[str, list[Deviations]] = {name: [] for name in runs}
    at = 0
    for index in range(len(candidate.answers)):
        judged = candidate.judged(index)
        for start in range(0, judged, _ROWS):
            part = slice(start, min(start + _ROWS, judged))
            mine, theirs = candidate.topk(index, part), reference.logits(index, part)
            words = compared_words(mine, theirs)
            exact, sizes = topk(theirs, words), root_mean_square(theirs)
            unknown = np.isnan(bounded(mine, topk(mine, words), exact).log_probs)
            here = slice(at + part.start, at + part.stop)
            for name, run in runs.items():
                there = TopK(run.topk.log_probs[here], run.topk.tail[here], run.topk.choices[here])
                few = fewer(there, words.shape[1])
                known = TopK(np.where(unknown, np.nan, few.log_probs), few.tail, few.choices)
                found[name].append(topk_deviations(known, exact, sizes, (0, len(words))))
        at += judged
    bounds = (0, *np.cumsum([candidate.judged(index) for index in range(len(candidate.answers))]).tolist())
    return {name: _joined(parts, bounds) for name, parts in found.items()}


def _joined(parts: list[Deviations], bounds: tuple[int, ...]) -> Deviations:
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Deviations(bounds, **columns)
