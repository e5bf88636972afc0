"""A variant against base, on the same tokens."""

import numpy as np

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.figures import judge_figure, same_tokens
from npu_conformance.checks.generated import difference
from npu_conformance.checks.hard import all_of, by_limit, first
from npu_conformance.checks.pair import Pair
from npu_conformance.checks.registry import check
from npu_conformance.config.limits import FIGURES, VARIANT_SPREAD
from npu_conformance.config.variants import CATALOGUE
from npu_conformance.errors import TraceError
from npu_conformance.measure.comparison import require_finite
from npu_conformance.measure.results import Result
from npu_conformance.traces.trace import Trace

_CHECK = "variant_closeness"
_FIGURES = [FIGURES[name] for name in ("relative_l2_mean", "relative_l2_max", "kl_mean")]


@check(
    chinese="该变体对 base 的改动不改变任何 token，logits 的差异也不超过舍入误差。",
    requires=("base",),
    metrics=(
        *(figure.name for figure in _FIGURES),
        VARIANT_SPREAD.name,
        "equal_or_tied_tokens",
        "bitwise_rows",
        "base_tokens",
    ),
    cause="near",
)
def variant_closeness(evidence: Evidence) -> list[Result]:
    """What the variant changes of base changes no token, and no logit beyond rounding."""
    if evidence.base is None:
        return []
    if evidence.tokens_only:
        return [_generated_tokens(evidence, evidence.base.candidate)]
    checks: list[Result] = []
    for pair, at in (
        (evidence.against_base, "answers"),
        (evidence.cold_against_base, "cold"),
        (evidence.boundary_against_base, "boundary"),
    ):
        if pair is None:
            continue
        require_finite(pair.comparison)
        checks += [
            *(judge_figure(evidence, pair, _CHECK, figure, at=at) for figure in _FIGURES),
            _spread(evidence, pair, at),
            same_tokens(evidence, pair, _CHECK, at=at),
            _bitwise(evidence, pair, at),
        ]
    return checks


def _spread(evidence: Evidence, pair: Pair, at: str) -> Result:
    """The largest distance from base, in units of base's own largest from the reference.

    Two engines that round alike are apart by at most the sum of their errors, so 2; a few rows that are wrong by less
    than the dtype's limits are not.
    """
    distances, rounding = pair.comparison.values["relative_l2"], _base_distance(evidence)
    worst = int(np.nan_to_num(distances, nan=np.inf).argmax())
    # Of a base that is the reference bit for bit, any distance is infinitely larger.
    observed = 0.0 if distances[worst] == 0 else float(distances[worst] / rounding) if rounding else float("inf")
    limit = evidence.config.limit(VARIANT_SPREAD.name)
    return Result(
        check=_CHECK,
        variant=evidence.variant,
        metric=VARIANT_SPREAD.name,
        at=at,
        observed=observed,
        limit=limit,
        relation="<=",
        n=len(distances),
        verdict=by_limit(observed, limit, "<="),
        where=pair.place(worst),
    )


def _base_distance(evidence: Evidence) -> float:
    """The largest relative L2 error of base's rows at the same positions: what rounding alone costs this model.

    Raises:
        TraceError: base and the reference are not of the same tokens, or a row of theirs is not finite.
    """
    if evidence.base is None:
        raise TraceError(f"{evidence.candidate.folder}: is held against no base")
    if evidence.baseline_only and evidence.baseline is not None:
        # Few words do not tell the size of a whole row.
        return evidence.baseline.figures["base"]["logits_closeness: relative_l2_max"]
    require_finite(evidence.base.comparison)
    return float(evidence.base.comparison.values["relative_l2"].max())


def _bitwise(evidence: Evidence, pair: Pair, at: str) -> Result:
    """Shown for most variants; for one that changes nothing, hard."""
    comparison = pair.comparison
    different = np.flatnonzero(~comparison.equal)
    first_place = None
    if len(different):
        prompt, step = comparison.locate(int(different[0]))
        first_place = f"first at {comparison.prompts[prompt]}, position {step}"
    known = CATALOGUE.get(evidence.variant)
    shown = known is None or not known.bitwise
    return all_of(evidence, _CHECK, "bitwise_rows", different, first_place, len(comparison), at=at, shown=shown)


def _generated_tokens(evidence: Evidence, base: Trace) -> Result:
    """Tokens that were generated without logits to look at, against base's: equal up to a tie, if not to the end."""
    found = [difference(evidence, base, index, one.token_ids) for index, one in enumerate(evidence.candidate.answers)]
    broken = [one.where for one in found if one is not None and not one.tied]
    ties = sum(one is not None and one.tied for one in found)
    result = all_of(evidence, _CHECK, "base_tokens", broken, first(broken), len(base.answers))
    return result.model_copy(update={"message": f"{ties} tied"}) if ties else result
