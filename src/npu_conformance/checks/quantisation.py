"""What a candidate's quantisation costs by itself, apart from what its engine adds."""

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.figures import observe
from npu_conformance.checks.hard import by_limit
from npu_conformance.checks.registry import check
from npu_conformance.config.limits import QUANTISATION_FIGURES
from npu_conformance.errors import TraceError
from npu_conformance.measure.comparison import require_finite
from npu_conformance.measure.results import Result


@check(
    chinese="量化本身（以 float32 按 checkpoint 的量化值和 scale 计算）与参考的差异在该量化方案允许的范围内。",
    requires=("weights", "full_reference", "quantisation"),
    metrics=tuple(figure.name for figure in QUANTISATION_FIGURES),
    cause="near",
)
def quantisation_cost(evidence: Evidence) -> list[Result]:
    """Quantisation by itself, the checkpoint's codes and scales computed in float32, costs no more than its scheme may.

    What the engine adds is judged by the gates against the noise floor, whose runs are quantised likewise.
    """
    if evidence.quantised is None:
        raise TraceError("the run of the quantised model in float32 is missing: run the model again")
    comparison = evidence.quantised.comparison
    require_finite(comparison)
    found = []
    for figure in QUANTISATION_FIGURES:
        observed, limit = observe(comparison, figure), evidence.config.limit(figure.name)
        found.append(
            Result(
                check="quantisation_cost",
                variant=evidence.variant,
                metric=figure.name,
                observed=observed,
                limit=limit,
                relation=figure.relation,
                n=len(comparison),
                verdict=by_limit(observed, limit, figure.relation),
            )
        )
    return found
