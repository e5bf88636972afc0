"""Whether there are numbers to compare."""

import numpy as np

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of
from npu_conformance.checks.registry import check
from npu_conformance.measure.results import Result


@check(
    chinese="两侧每个位置的每个 logit 都是有限值。",
    requires=("logits",),
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
            row = trace.logits(prompt)[step]
            where = (
                f"{comparison.prompts[prompt]}, position {step}: {np.isnan(row).sum()} NaN and "
                f"{np.isinf(row).sum()} infinite of {len(row)} logits of the {side}, first at token "
                f"{evidence.reference.piece(int(np.flatnonzero(~np.isfinite(row))[0]))}"
            )
        checks.append(all_of(evidence, "finite_logits", "finite_positions", bad, where, len(finite), at=side))
    return checks
