"""The same request in other batches."""

from npu_conformance.cases import Case
from npu_conformance.compare import tied
from npu_conformance.evidence import Evidence
from npu_conformance.gates.hard import all_of, first, not_applicable
from npu_conformance.results import Check

# Shown, not judged, unless the config promises batch invariance: rounding may depend on the shape of a batch.
_BITWISE = "rows bitwise equal, {}"


def batch_determinism(evidence: Evidence) -> list[Check]:
    """A request's tokens do not depend on what else is in the batch, and neither do its logits beyond rounding."""
    cases: dict[str, list[Case]] = {}
    for case in evidence.candidate.cases():
        cases.setdefault(case.scenario, []).append(case)
    if not cases:
        return [
            not_applicable(evidence, "batch_determinism", "batches", "other batches are tried in base and as_served")
        ]
    return [check for scenario, found in cases.items() for check in _judge(evidence, scenario, found)]


def _judge(evidence: Evidence, scenario: str, cases: list[Case]) -> list[Check]:
    relative = evidence.config.limit("relative_l2_mean") or float("nan")
    flips = [(case, flip) for case in cases for flip in case.flips]
    real = [(case, flip) for case, flip in flips if not tied(max(flip.margin, flip.lead), flip.rms, relative)]
    told = [
        f"{_name(case, flip.step)}: {evidence.reference.piece(flip.token)} before, "
        f"{evidence.reference.piece(flip.choice)} now, {flip.margin:.4f} ahead before and {flip.lead:.4f} behind now"
        for case, flip in real
    ]
    positions = sum(case.positions for case in cases)
    tokens = all_of(evidence, "batch_determinism", f"tokens equal, or tied, {scenario}", real, first(told), positions)
    if len(flips) > len(real):
        tokens = tokens.model_copy(update={"message": f"{len(flips) - len(real)} tied"})
    return [tokens, _distance(evidence, scenario, cases), _bitwise(evidence, scenario, cases, positions)]


def _distance(evidence: Evidence, scenario: str, cases: list[Case]) -> Check:
    limit = evidence.config.limit("relative_l2_max")
    worst = max(cases, key=lambda case: (case.distance != case.distance, case.distance))
    return Check(
        check="batch_determinism",
        variant=evidence.variant,
        metric=f"largest relative L2 distance, {scenario}",
        observed=worst.distance,
        limit=limit,
        relation="<=",
        n=sum(case.positions for case in cases),
        verdict="pass" if limit is None or worst.distance <= limit else "fail",
        where=_name(worst, worst.worst),
    )


def _bitwise(evidence: Evidence, scenario: str, cases: list[Case], positions: int) -> Check:
    different = [case for case in cases if case.different]
    told = [f"{_name(case, case.first_different or 0)}: first of {case.different} that differ" for case in different]
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


def _name(case: Case, step: int) -> str:
    copy = f" (copy {case.copy_number})" if case.copy_number else ""
    row = f", batch row {case.batch_rows[step]}" if step < len(case.batch_rows) else ""
    return f"{case.prompt}{copy}, position {step}{row}"
