"""The same request in other batches."""

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, by_limit, first
from npu_conformance.checks.registry import check
from npu_conformance.measure.cases import by_scenario, farthest, tied
from npu_conformance.measure.results import Result
from npu_conformance.traces.cases import Case, Flip


@check(
    chinese="请求的 token 不取决于同批次的其他请求，logits 的差异也不超过舍入误差。",
    requires=("topk", "batches"),
    metrics=("equal_or_tied_tokens", "relative_l2_max", "bitwise_rows"),
    cause="itself",
)
def batch_determinism(evidence: Evidence) -> list[Result]:
    """A request's tokens do not depend on what else is in the batch, and neither do its logits beyond rounding."""
    cases = by_scenario(evidence.candidate.cases())
    return [check for scenario, found in cases.items() for check in _judge(evidence, scenario, found)]


def _judge(evidence: Evidence, scenario: str, cases: list[Case]) -> list[Result]:
    flips = [(case, flip) for case in cases for flip in case.flips]
    real = [(case, flip) for case, flip in flips if not _tied(evidence, case, flip)]
    told = [
        f"{case.place(flip.step)}: {evidence.reference.piece(flip.token)} before, "
        f"{evidence.reference.piece(flip.choice)} now, {flip.margin:.4f} ahead before and {flip.lead:.4f} behind now"
        for case, flip in real
    ]
    positions = sum(case.positions for case in cases)
    at = f"batch:{scenario}"
    tokens = all_of(evidence, "batch_determinism", "equal_or_tied_tokens", real, first(told), positions, at=at)
    if len(flips) > len(real):
        tokens = tokens.model_copy(update={"message": f"{len(flips) - len(real)} tied"})
    return [tokens, _distance(evidence, scenario, cases), _bitwise(evidence, scenario, cases, positions)]


def _tied(evidence: Evidence, case: Case, flip: Flip) -> bool:
    rms = evidence.comparison.rms_at(case.prompt, flip.step)
    return tied(flip, evidence.tie_width_at(case.prompt, flip.step), rms)


def _distance(evidence: Evidence, scenario: str, cases: list[Case]) -> Result:
    limit = evidence.limit("relative_l2_max", same_weights=True)
    worst = farthest([_relative(evidence, case) for case in cases])
    return Result(
        check="batch_determinism",
        variant=evidence.variant,
        metric="relative_l2_max",
        at=f"batch:{scenario}",
        observed=worst.distance,
        limit=limit,
        relation="<=",
        n=sum(case.positions for case in cases),
        verdict=by_limit(worst.distance, limit, "<="),
        where=worst.place(worst.worst),
    )


def _relative(evidence: Evidence, case: Case) -> Case:
    """A case whose distance is in units of the reference's logits, as that of whole rows is of the first run's."""
    if not case.few_words:
        return case
    return case.model_copy(update={"distance": case.distance / evidence.comparison.rms_at(case.prompt, case.worst)})


def _bitwise(evidence: Evidence, scenario: str, cases: list[Case], positions: int) -> Result:
    different = [case for case in cases if case.different]
    told = [f"{case.place(case.first_different or 0)}: first of {case.different} that differ" for case in different]
    return all_of(
        evidence,
        "batch_determinism",
        "bitwise_rows",
        range(sum(case.different for case in cases)),
        first(told),
        positions,
        at=f"batch:{scenario}",
        # Unless the config promises batch invariance, rounding may depend on the shape of a batch.
        shown=not evidence.config.batch_invariant,
    )
