"""Whether the candidate is stuck: it says the same over and over where the reference would not."""

import numpy as np
from numpy.typing import NDArray

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, first, not_applicable
from npu_conformance.checks.registry import check
from npu_conformance.measure.comparison import require_finite
from npu_conformance.measure.loops import Loop, loops
from npu_conformance.measure.results import Result

_CHECK = "repetition"
# Share of the repeated rounds that the reference must want to leave. A model may repeat itself rightly; one round more
# or fewer at the end is a mismatch, which other checks judge.
_SHARE = 0.5


@check(
    chinese="只有参考在相同前缀之后也会继续重复之处，回答才反复说同样的内容。",
    requires=("topk",),
    metrics=("answers_not_stuck",),
)
def repetition(evidence: Evidence) -> list[Result]:
    """An answer says the same over and over only where the reference, after the same prefix, would go on with it."""
    if evidence.candidate.forced:
        return [not_applicable(evidence, _CHECK, "its tokens were given")]
    comparison = evidence.comparison
    require_finite(comparison)
    with_it = comparison.matches | comparison.ties(evidence.tie_width(evidence.pair))
    stuck, rightly = [], 0
    for index, prompt in enumerate(comparison.prompts):
        span = comparison.span(index)
        left = {loop: _left(loop, with_it[span]) for loop in loops(comparison.tokens[span])}
        wrong = [loop for loop, rounds in left.items() if rounds >= _SHARE * (loop.rounds - 1)]
        stuck += [f"{prompt}, {_told(evidence, comparison.tokens[span], loop, left[loop])}" for loop in wrong[:1]]
        rightly += bool(left) and not wrong
    result = all_of(evidence, _CHECK, "answers_not_stuck", stuck, first(stuck))
    told = f"answers that repeat themselves as the reference would: {rightly}" if rightly else None
    return [result.model_copy(update={"message": told})]


def _left(loop: Loop, with_it: NDArray[np.bool_]) -> int:
    """In how many rounds after the first the reference would have said something else."""
    rounds = with_it[loop.start + loop.period : loop.stop].reshape(-1, loop.period)
    return int((~rounds).any(axis=1).sum())


def _told(evidence: Evidence, tokens: NDArray[np.int64], loop: Loop, left: int) -> str:
    words = " ".join(evidence.reference.piece(int(token)) for token in tokens[loop.start : loop.start + loop.period])
    return (
        f"position {loop.start}: says {words} {loop.rounds} times; the reference would have left it in {left} of the "
        f"{loop.rounds - 1} repeated rounds"
    )
