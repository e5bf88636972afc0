"""The noise floor over few words: what floor runs deviate where a candidate gives only its likeliest words.

Floor runs are measured over the words that the candidate is measured over, position by position, so that gates hold
like against like.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.few_words import bounded, compared_words
from npu_conformance.measure.floor import FloorRun
from npu_conformance.measure.metrics import root_mean_square
from npu_conformance.measure.topk import TopK, fewer, topk, topk_deviations
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.topk_rows import TopKRows
from npu_conformance.traces.trace import Trace

# Rows of the reference that are held at a time.
_ROWS = 32


def floor_of_words(
    candidate: Trace, reference: Trace, runs: Mapping[str, FloorRun], *, routed: bool = False
) -> dict[str, Deviations]:
    """Deviations of floor runs over the words of a candidate's rows, at its judged positions.

    Args:
        candidate: whose rows are likeliest words.
        reference: with whole rows, of the same tokens.
        runs: of the floor, whose words are the reference's `WORDS` likeliest.
        routed: see `Deviations`.

    Raises:
        TraceError: rows cannot be read.
    """
    found: dict[str, list[Deviations]] = {name: [] for name in runs}
    at = 0
    for index in range(len(candidate.answers)):
        judged = candidate.judged(index)
        for start in range(0, judged, _ROWS):
            part = slice(start, min(start + _ROWS, judged))
            here = {name: _some(run.topk, slice(at + part.start, at + part.stop)) for name, run in runs.items()}
            few = over_words(candidate.topk(index, part), reference.logits(index, part), here)
            for name, one in few.items():
                found[name].append(one)
        at += judged
    bounds = (0, *np.cumsum([candidate.judged(index) for index in range(len(candidate.answers))]).tolist())
    return {name: replace(_joined(parts, bounds), routed=routed) for name, parts in found.items()}


def over_words(mine: TopKRows, theirs: Rows, runs: Mapping[str, TopK]) -> dict[str, Deviations]:
    """Deviations of floor runs over the words of a candidate's rows, at the same positions of a prompt.

    Args:
        mine: the candidate's.
        theirs: the reference's, float32 [positions, vocabulary].
        runs: of the floor, over the reference's `WORDS` likeliest.
    """
    words = compared_words(mine, theirs)
    exact, sizes = topk(theirs, words), root_mean_square(theirs)
    unknown = np.isnan(bounded(mine, topk(mine, words), exact).log_probs)
    found = {}
    for name, run in runs.items():
        few = fewer(run, words.shape[1])
        known = replace(few, log_probs=np.where(unknown, np.nan, few.log_probs))
        found[name] = topk_deviations(known, exact, sizes, (0, len(words)))
    return found


def _some(run: TopK, positions: slice) -> TopK:
    return TopK(run.log_probs[positions], run.tail[positions], run.choices[positions])


def _joined(parts: list[Deviations], bounds: tuple[int, ...]) -> Deviations:
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Deviations(bounds, **columns)
