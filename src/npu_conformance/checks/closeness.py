"""How near logits are: decode, a token at a time through the KV cache, prefill, a whole prefix at once, and the two."""

from npu_conformance.checks.capabilities import whole_rows
from npu_conformance.checks.claims import ROWS, transformers_rows
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.figures import judge_figure, same_tokens
from npu_conformance.checks.pair import Pair
from npu_conformance.checks.registry import check
from npu_conformance.config.limits import CLOSENESS_FIGURES
from npu_conformance.measure.comparison import require_finite
from npu_conformance.measure.results import Result
from npu_conformance.measure.three_way import IMPLICATES, ThreeWay


@check(
    chinese="被测的 logits 与参考之差在该 dtype 的阈值之内。",
    requires=("full_reference", "topk"),
    metrics=(*(figure.name for figure in CLOSENESS_FIGURES), ROWS),
    cause="near",
)
def logits_closeness(evidence: Evidence) -> list[Result]:
    """The candidate's logits stay within the dtype's limits of the reference's."""
    require_finite(evidence.comparison)
    figures = [one for one in CLOSENESS_FIGURES if whole_rows(evidence) or one.of == "kl"]
    found = [judge_figure(evidence, evidence.pair, "logits_closeness", figure) for figure in figures]
    if not whole_rows(evidence):
        return [lower_bound(one) for one in found]
    return [*found, *transformers_rows(evidence, "logits_closeness")]


def lower_bound(result: Result) -> Result:
    """A figure of which few words tell a lower bound: it can break its limit, and cannot show that it keeps it."""
    told = "a lower bound, of the likeliest tokens that the engine gives"
    if result.verdict != "pass":
        return result.model_copy(update={"message": told})
    return result.model_copy(update={"limit": None, "verdict": "shown", "message": told})


@check(
    chinese="一次 prefill 整段提示词与回答所得 logits 与参考之差在该 dtype 的阈值之内。",
    requires=("full_reference", "full_logits", "prefill"),
    metrics=tuple(figure.name for figure in CLOSENESS_FIGURES),
    cause="near",
)
def prefill_closeness(evidence: Evidence) -> list[Result]:
    """The logits of one prefill over prompt and answer stay within the dtype's limits of the reference's."""
    return [] if evidence.prefill is None else _closeness(evidence, evidence.prefill, "prefill_closeness")


@check(
    chinese="同一引擎的 decode 与 prefill 给出相同的 logits，仅差该 dtype 的舍入误差。",
    requires=("full_logits", "prefill"),
    metrics=(*(figure.name for figure in CLOSENESS_FIGURES), "equal_or_tied_tokens"),
)
def decode_against_prefill(evidence: Evidence) -> list[Result]:
    """Decode and prefill of the same engine give the same logits, up to the dtype's rounding."""
    name, pair = "decode_against_prefill", evidence.own_prefill
    if pair is None:
        return []
    checks = [*_closeness(evidence, pair, name), same_tokens(evidence, pair, name, path="prefill")]
    holding = three_way(evidence)
    if holding is not None and not all(holding):
        told = f"the three-way comparison points at {IMPLICATES[holding]}"
        checks = [one.model_copy(update={"message": told}) if one.verdict == "fail" else one for one in checks]
    return checks


def three_way(evidence: Evidence) -> ThreeWay | None:
    """Which of the three-way comparison hold; None without prefill, or without whole rows of both sides."""
    if evidence.prefill is None or evidence.own_prefill is None or not whole_rows(evidence):
        return None
    pairs = (evidence.pair, evidence.prefill, evidence.own_prefill)
    return ThreeWay(*(not breaks(evidence, pair) for pair in pairs))


def breaks(evidence: Evidence, pair: Pair) -> bool:
    """Whether a figure of closeness leaves its limit, a token differs beyond a tie, or a logit is not finite."""
    if not (pair.comparison.finite & pair.comparison.reference_finite).all():
        return True
    checks = [*_closeness(evidence, pair, "three_way"), same_tokens(evidence, pair, "three_way")]
    return any(check.verdict == "fail" for check in checks)


def _closeness(evidence: Evidence, pair: Pair, check: str) -> list[Result]:
    require_finite(pair.comparison)
    return [judge_figure(evidence, pair, check, figure, path="prefill") for figure in CLOSENESS_FIGURES]
