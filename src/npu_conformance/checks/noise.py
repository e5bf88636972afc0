"""The calibrated gates: few, each against the noise floor, with one rate of false alarms among them.

A gate fails where its adjusted p-value is at or below the variant's share of the run's rate of false alarms; it passes
where its interval lies within the limit; else it is inconclusive, and says how many prompts would settle it.
"""

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import not_applicable
from npu_conformance.measure.noise import Found
from npu_conformance.measure.results import Check, Path, Verdict


def error_over_floor(evidence: Evidence) -> list[Check]:
    """The candidate's error, in decode and in prefill, is no larger than what rounding alone costs the model."""
    return _gate(evidence, "error_over_floor")


def peak_over_floor(evidence: Evidence) -> list[Check]:
    """The candidate's largest error of any one logit is no larger than what rounding alone costs the model."""
    return _gate(evidence, "peak_over_floor")


def signed_bias(evidence: Evidence) -> list[Check]:
    """The candidate's errors have no direction, as those of rounding have none."""
    return _gate(evidence, "signed_bias")


def excess_flips(evidence: Evidence) -> list[Check]:
    """The candidate chooses another token than the reference hardly more often than rounding alone does."""
    return _gate(evidence, "excess_flips")


def worst_positions(evidence: Evidence) -> list[Check]:
    """No single position is further from the reference than chance lets the worst of so many be."""
    return _gate(evidence, "worst_positions")


def worst_logits(evidence: Evidence) -> list[Check]:
    """No single logit is further from the reference than chance lets the worst of so many be."""
    return _gate(evidence, "worst_logits")


def drift(evidence: Evidence) -> list[Check]:
    """The candidate's error does not grow along its answers more than the noise floor's does."""
    return _gate(evidence, "drift")


def _gate(evidence: Evidence, check: str) -> list[Check]:
    if (why := evidence.no_floor) is not None:
        return [not_applicable(evidence, check, check, why)]
    found, adjusted = evidence.calibrated
    return [
        not_applicable(evidence, check, check, one)
        if isinstance(one, str)
        else _judge(evidence, check, path, one, adjusted[name, path])
        for (name, path), one in found.items()
        if name == check
    ]


def _judge(evidence: Evidence, check: str, path: Path, found: Found, p_adjusted: float) -> Check:
    observed, interval, p_value = found.tested
    verdict: Verdict = "pass"
    message = None
    # Written so that NaN fails.
    if not p_adjusted > evidence.false_alarms:
        verdict = "fail"
    elif interval is not None and not interval[1] <= found.allowed:
        verdict = "inconclusive"
        message = _undecided(found, interval)
    return Check(
        check=check,
        variant=evidence.variant,
        path=path,
        metric=check,
        observed=observed,
        limit=found.allowed,
        relation="<=",
        n=found.n,
        interval=interval,
        p_value=p_value,
        p_adjusted=p_adjusted,
        verdict=verdict,
        where=None if found.worst is None else _place(evidence, path, found.worst),
        message=message,
    )


def _undecided(found: Found, interval: tuple[float, float]) -> str:
    if interval[0] > found.allowed:
        # A failure must be rarer by chance than the rate of false alarms that a run has.
        return (
            f"above the limit {found.allowed:g}, but {found.n} are too few to call it a failure: use more, --prompts N"
        )
    more = "" if found.prompts_needed is None else f"; at this spread {found.prompts_needed} prompts would"
    return f"{found.n} cannot show {found.allowed:g} with 95 % confidence{more}"


def _place(evidence: Evidence, path: Path, position: int) -> str:
    pair = evidence.prefill if path == "prefill" else None
    return (pair or evidence.pair).place(position)
