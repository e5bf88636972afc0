"""Whether there are numbers to compare."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of
from npu_conformance.checks.registry import check
from npu_conformance.measure.results import Result
from npu_conformance.traces.trace import Trace


@check(
    chinese="两侧每个位置的每个 logit 都是有限值。",
    requires=("topk",),
    metrics=("finite_positions",),
    cause="near",
)
def finite_logits(evidence: Evidence) -> list[Result]:
    """Every logit at every position is a finite number, on both sides."""
    comparison = evidence.comparison
    checks = []
    for side, finite in (("candidate", comparison.finite), ("reference", comparison.reference_finite)):
        bad = np.flatnonzero(~finite)
        where = None
        if len(bad):
            prompt, step = comparison.locate(int(bad[0]))
            trace = evidence.candidate if side == "candidate" else evidence.reference
            row, words = _numbers(trace, prompt, step)
            where = (
                f"{comparison.prompts[prompt]}, position {step}: {np.isnan(row).sum()} NaN and "
                f"{np.isinf(row).sum()} infinite of {len(row)} logits of the {side}, first at token "
                f"{evidence.reference.piece(int(words[~np.isfinite(row)][0]))}"
            )
        checks.append(all_of(evidence, "finite_logits", "finite_positions", bad, where, len(finite), at=side))
    return checks


def _numbers(trace: Trace, prompt: int, step: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """What a trace has of a position, and the tokens that these are of [tokens]."""
    if trace.rows == "full":
        row = trace.logits(prompt)[step]
        return row, np.arange(len(row))
    few = trace.topk(prompt, slice(step, step + 1))
    # The probability of all others is no token's.
    return few.log_probs[0], few.words[0]
