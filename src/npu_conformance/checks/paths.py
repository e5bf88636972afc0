"""The engine's two paths: prefill, a whole prefix at once, and decode, a token at a time through the KV cache."""

import numpy as np

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.figures import judge_figure
from npu_conformance.checks.hard import all_of, not_applicable
from npu_conformance.checks.pair import Pair
from npu_conformance.config.limits import CLOSENESS_FIGURES
from npu_conformance.config.variants import JUDGED
from npu_conformance.measure.compare import require_finite
from npu_conformance.measure.results import Check, Path
from npu_conformance.measure.witnesses import IMPLICATES, Witnesses


def prefill_closeness(evidence: Evidence) -> list[Check]:
    """The logits of one prefill over prompt and answer stay within the dtype's limits of the reference's."""
    if evidence.prefill is None:
        return [_not_captured(evidence, "prefill_closeness")]
    return _closeness(evidence, evidence.prefill, "prefill_closeness")


def decode_against_prefill(evidence: Evidence) -> list[Check]:
    """Decode and prefill of the same engine give the same logits, up to the dtype's rounding."""
    check, pair = "decode_against_prefill", evidence.own_prefill
    if pair is None:
        return [_not_captured(evidence, check)]
    checks = [*_closeness(evidence, pair, check), same_tokens(evidence, pair, check, path="prefill")]
    holding = witnesses(evidence)
    if holding is not None and not all(holding):
        told = f"the three witnesses implicate {IMPLICATES[holding]}"
        checks = [one.model_copy(update={"message": told}) if one.verdict == "fail" else one for one in checks]
    return checks


def witnesses(evidence: Evidence) -> Witnesses | None:
    """Which of the three witnesses hold; None where prefill was not captured, or no reference computed."""
    if evidence.prefill is None or evidence.own_prefill is None or evidence.alone:
        return None
    pairs = (evidence.pair, evidence.prefill, evidence.own_prefill)
    return Witnesses(*(not breaks(evidence, pair) for pair in pairs))


def breaks(evidence: Evidence, pair: Pair) -> bool:
    """Whether a figure of closeness leaves its limit, a token differs beyond a tie, or a logit is not finite."""
    if not (pair.comparison.finite & pair.comparison.reference_finite).all():
        return True
    checks = [*_closeness(evidence, pair, "witness"), same_tokens(evidence, pair, "witness")]
    return any(check.verdict == "fail" for check in checks)


def same_tokens(
    evidence: Evidence, pair: Pair, check: str, name: str = "tokens equal, or tied", path: Path = "decode"
) -> Check:
    """A hard check: where the largest logits are different tokens', rounding may have decided."""
    comparison = pair.comparison
    tied = comparison.ties(evidence.tie_width(pair))
    broken = np.flatnonzero(~comparison.matches & ~tied)
    where = pair.place(int(broken[0])) if len(broken) else None
    result = all_of(evidence, check, name, broken, where, len(comparison), path)
    return result.model_copy(update={"message": f"{tied.sum()} tied"}) if tied.any() else result


def _closeness(evidence: Evidence, pair: Pair, check: str) -> list[Check]:
    require_finite(pair.comparison)
    return [judge_figure(evidence, pair, check, figure, path="prefill") for figure in CLOSENESS_FIGURES]


def _not_captured(evidence: Evidence, check: str) -> Check:
    why = "the engine's prefill path was not captured"
    if evidence.variant not in JUDGED:
        why = "prefill is captured in base and as_served"
    return not_applicable(evidence, check, "prefill", why)
