"""The candidate's logits, position by position."""

import numpy as np

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.figures import judge_figure
from npu_conformance.checks.hard import all_of
from npu_conformance.config.limits import CLOSENESS_FIGURES
from npu_conformance.measure.compare import require_finite
from npu_conformance.measure.results import Check


def finite_logits(evidence: Evidence) -> list[Check]:
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
        checks.append(
            all_of(evidence, "finite_logits", f"positions with finite logits, {side}", bad, where, len(finite))
        )
    return checks


def logits_closeness(evidence: Evidence) -> list[Check]:
    """The candidate's logits stay within the dtype's limits of the reference's."""
    require_finite(evidence.comparison)
    return [judge_figure(evidence, evidence.pair, "logits_closeness", figure) for figure in CLOSENESS_FIGURES]
