"""The same request in other batches."""

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, first, not_applicable
from npu_conformance.config.variants import JUDGED
from npu_conformance.measure.cases import by_scenario, farthest, tied
from npu_conformance.measure.results import Check
from npu_conformance.traces.cases import Case

# Shown, not judged, unless the config promises batch invariance: rounding may depend on the shape of a batch.
_BITWISE = "rows bitwise equal, {}"


def batch_determinism(evidence: Evidence) -> list[Check]:
    """A request's tokens do not depend on what else is in the batch, and neither do its logits beyond rounding."""
    cases = by_scenario(evidence.candidate.cases())
    if not cases:
        why = "were not tried" if evidence.variant in JUDGED else "are tried in base and as_served"
        return [not_applicable(evidence, "batch_determinism", "batches", f"other batches {why}")]
    return [check for scenario, found in cases.items() for check in _judge(evidence, scenario, found)]


def _judge(evidence: Evidence, scenario: str, cases: list[Case]) -> list[Check]:
    flips = [(case, flip) for case in cases for flip in case.flips]
    real = [(case, flip) for case, flip in flips if not tied(flip, evidence.tie_width_at(case.prompt, flip.step))]
    told = [
        f"{case.place(flip.step)}: {evidence.reference.piece(flip.token)} before, "
        f"{evidence.reference.piece(flip.choice)} now, {flip.margin:.4f} ahead before and {flip.lead:.4f} behind now"
        for case, flip in real
    ]
    positions = sum(case.positions for case in cases)
    tokens = all_of(evidence, "batch_determinism", f"tokens equal, or tied, {scenario}", real, first(told), positions)
    if len(flips) > len(real):
        tokens = tokens.model_copy(update={"message": f"{len(flips) - len(real)} tied"})
    return [tokens, _distance(evidence, scenario, cases), _bitwise(evidence, scenario, cases, positions)]


def _distance(evidence: Evidence, scenario: str, cases: list[Case]) -> Check:
    limit = evidence.config.limit("relative_l2_max", same_weights=True)
    worst = farthest(cases)
    return Check(
        check="batch_determinism",
        variant=evidence.variant,
        metric=f"largest relative L2 distance, {scenario}",
        observed=worst.distance,
        limit=limit,
        relation="<=",
        n=sum(case.positions for case in cases),
        verdict="pass" if limit is None or worst.distance <= limit else "fail",
        where=worst.place(worst.worst),
    )


def _bitwise(evidence: Evidence, scenario: str, cases: list[Case], positions: int) -> Check:
    different = [case for case in cases if case.different]
    told = [f"{case.place(case.first_different or 0)}: first of {case.different} that differ" for case in different]
    check = all_of(
        evidence,
        "batch_determinism",
        _BITWISE.format(scenario),
        range(sum(case.different for case in cases)),
        first(told),
        positions,
    )
    if evidence.config.batch_invariant:
        return check
    return check.model_copy(update={"limit": None, "verdict": "pass"})
