"""The residual stream, layer by layer."""

from npu_conformance.checkpoints.checkpoint import some
from npu_conformance.evidence import Evidence
from npu_conformance.gates.hard import all_of, not_applicable
from npu_conformance.layer_table import LayerRow, layer_table
from npu_conformance.limits import LAYER_FIGURE
from npu_conformance.results import Check


def hidden_states(evidence: Evidence) -> list[Check]:
    """The candidate's hidden states follow the reference's through every layer."""
    check = "hidden_states"
    rows = layer_table(evidence.candidate, evidence.reference)
    if not rows:
        why = "hidden states are kept in base only" if evidence.variant != "base" else "no decoder layers were found"
        return [not_applicable(evidence, check, check, why)]
    not_finite = [row.point for row in rows if not row.finite]
    checks = [
        all_of(
            evidence,
            check,
            "points with finite hidden states",
            not_finite,
            f"first at {not_finite[0]}" if not_finite else None,
            len(rows),
            path="prefill",
        )
    ]
    return checks if not_finite else [*checks, _cosine(evidence, rows)]


def _cosine(evidence: Evidence, rows: list[LayerRow]) -> Check:
    worst = min(rows, key=lambda row: row.cosine)
    limit = evidence.config.limit(LAYER_FIGURE.name)
    # NaN, as of states that are all zero, is within no limit, and is no minimum either.
    first = next((row for row in rows if limit is not None and not LAYER_FIGURE.within(row.cosine, limit)), None)
    explosions = [f"{row.point} (norm {row.candidate_norm:.4g})" for row in rows if row.explodes]
    return Check(
        check="hidden_states",
        variant=evidence.variant,
        path="prefill",
        metric=LAYER_FIGURE.name,
        observed=(first or worst).cosine,
        limit=limit,
        n=len(rows),
        verdict="pass" if first is None else "fail",
        where=f"least at {_norms(worst)}" if first is None else f"first below at {_norms(first)}",
        message=f"the norm explodes at {some(explosions)}" if explosions else None,
    )


def _norms(row: LayerRow) -> str:
    return f"{row.point}: norm {row.candidate_norm:.4g}, reference {row.reference_norm:.4g}"
