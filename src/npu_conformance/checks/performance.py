"""Whether the engine became slower since its baseline, by what `vllm bench` measured in both."""

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import by_limit, not_applicable
from npu_conformance.checks.registry import check
from npu_conformance.config.performance import LIMITED
from npu_conformance.measure.results import Result
from npu_conformance.traces.performance import Performance, differences, speed_ratio, unit

_CHECK = "performance_regression"


@check(
    chinese="与基线相比，引擎变慢的程度不超过该模型配置所允许的范围。",
    metrics=("speed_over_baseline",),
    cause="itself",
)
def performance_regression(evidence: Evidence) -> list[Result]:
    """Since its baseline the engine did not become slower than the model's config allows."""
    if evidence.variant != "as_served":
        return [not_applicable(evidence, _CHECK, "speed is measured in as_served only")]
    if (now := evidence.performance) is None:
        return [not_applicable(evidence, _CHECK, "speed was not measured: --performance does")]
    failed = [_failed(evidence, tool, why) for tool, why in now.failed.items()]
    before = None if evidence.baseline is None else evidence.baseline.performance
    if before is None:
        return failed or [not_applicable(evidence, _CHECK, _no_baseline(evidence))]
    return [*failed, *_ratios(evidence, now, before)]


def _ratios(evidence: Evidence, now: Performance, before: Performance) -> list[Result]:
    """One for each figure that both have, and for each limit."""
    section = evidence.config.performance
    limits = {} if section is None or evidence.replacing else section.min_ratio
    different = [f"{name} {then} then, {this} now" for name, (then, this) in differences(now, before).items()]
    told = f"cannot be compared with the baseline: {'; '.join(different)}" if different else None
    found = []
    for name in LIMITED:
        if name in now.figures and name in before.figures:
            found.append(_ratio(evidence, name, now, before, limits.get(name), told))
        elif name in limits:
            side = "this run" if name not in now.figures else "the baseline"
            found.append(_unknown(evidence, name, limits[name], f"{name}: was not measured in {side}"))
    return found


def _ratio(
    evidence: Evidence, name: str, now: Performance, before: Performance, limit: float | None, told: str | None
) -> Result:
    values = now.figures[name].value, before.figures[name].value
    observed = speed_ratio(name, *values)
    place = f"{values[1]:.4g} {unit(name)} in the baseline, {values[0]:.4g} {unit(name)} now"
    if observed is None:
        told = told or f"{name}: has no ratio to the baseline's: {place}"
    result = _unknown(evidence, name, limit, told).model_copy(
        update={"observed": observed, "n": min(now.figures[name].n, before.figures[name].n), "where": place}
    )
    if told is not None and limit is not None:
        return result
    verdict = "shown" if observed is None else by_limit(observed, limit, ">=")
    return result.model_copy(update={"verdict": verdict, "message": told})


def _unknown(evidence: Evidence, name: str, limit: float | None, why: str | None) -> Result:
    return Result(
        check=_CHECK,
        variant=evidence.variant,
        path="none",
        metric="speed_over_baseline",
        at=f"speed:{name}",
        limit=limit,
        verdict="inconclusive",
        message=why,
    )


def _failed(evidence: Evidence, tool: str, why: str) -> Result:
    return Result(
        check=_CHECK,
        variant=evidence.variant,
        path="none",
        metric=_CHECK,
        verdict="error",
        message=f"speed was not measured ({tool}): {why}",
    )


def _no_baseline(evidence: Evidence) -> str:
    if evidence.outdated is not None:
        return f"the baseline is outdated: {evidence.outdated}"
    if evidence.baseline is None:
        return "the run was held against no baseline: --baseline=create makes one, of a run that passes"
    return "the baseline has no speed: --baseline=update with --performance adds it"
