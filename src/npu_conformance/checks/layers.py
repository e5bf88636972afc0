"""The residual stream, layer by layer."""

import numpy as np

from npu_conformance.checkpoints.checkpoint import some
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, by_limit
from npu_conformance.checks.noise import gate_results
from npu_conformance.checks.registry import check
from npu_conformance.config.limits import LAYER_COSINE, LAYER_NORM, Figure
from npu_conformance.measure.layer_table import LayerRow, layer_table
from npu_conformance.measure.noise import LAYERS, NoAnswer, points_found
from npu_conformance.measure.results import Result


@check(
    chinese="被测的隐状态逐层与参考一致。",
    requires=("hidden_states",),
    metrics=("finite_hidden_states", LAYER_COSINE.name, LAYER_NORM.name),
    cause="near",
)
def hidden_states(evidence: Evidence) -> list[Result]:
    """The candidate's hidden states follow the reference's through every layer."""
    rows = layer_table(evidence.candidate, evidence.reference)
    not_finite = [row.point for row in rows if not row.finite]
    checks = [
        all_of(
            evidence,
            "hidden_states",
            "finite_hidden_states",
            not_finite,
            f"first at {not_finite[0]}" if not_finite else None,
            len(rows),
            path="prefill",
        )
    ]
    if not_finite:
        return checks
    cosine = _judge(evidence, rows, LAYER_COSINE, [row.cosine for row in rows])
    explosions = [f"{row.point} (norm {row.candidate_norm:.4g})" for row in rows if row.explodes]
    if explosions:
        cosine = cosine.model_copy(update={"message": f"the norm explodes at {some(explosions)}"})
    return [*checks, cosine, _judge(evidence, rows, LAYER_NORM, [row.norm_deviation for row in rows])]


@check(
    chinese="被测每层的 attention 和 MLP 在其自身输入上的误差不大于仅由舍入产生的误差。",
    requires=("full_logits", "floor", "module_errors"),
    metrics=(LAYERS,),
    calibrated=True,
    cause="near",
)
def layers_over_floor(evidence: Evidence) -> list[Result]:
    """Each layer's attention and MLP err, on the input they were given, no more than rounding alone costs them."""
    errors, (found, adjusted) = evidence.layers_floor, evidence.calibrated
    one = found[LAYERS, "decode"]
    if isinstance(one, NoAnswer) or errors is None:
        return gate_results(evidence, LAYERS)
    points = points_found(errors, evidence.config.limit(LAYERS) or float("nan"))
    shown = points[one.worst or 0]
    beyond = not adjusted[LAYERS, "decode"] > evidence.false_alarms
    where = (
        f"{'first beyond' if beyond else 'worst'} at {shown.point}: {shown.over_floor:.3g} times its floor, others of "
        f"its kind {shown.alike:.3g}"
    )
    return [result.model_copy(update={"where": where}) for result in gate_results(evidence, LAYERS)]


def _judge(evidence: Evidence, rows: list[LayerRow], figure: Figure, values: list[float]) -> Result:
    """The first point beyond the limit, or the worst within it."""
    limit = evidence.config.limit(figure.name)
    # NaN, as of states that are all zero, is within no limit, and is no minimum either.
    beyond = (i for i, value in enumerate(values) if limit is not None and not figure.within(value, limit))
    first = next(beyond, None)
    worst = int((np.argmin if figure.sense == "min" else np.argmax)(values))
    shown = worst if first is None else first
    return Result(
        check="hidden_states",
        variant=evidence.variant,
        path="prefill",
        metric=figure.name,
        observed=values[shown],
        limit=limit,
        relation=figure.relation,
        n=len(rows),
        verdict=by_limit(values[shown], limit, figure.relation),
        where=f"{'worst' if first is None else 'first beyond'} at {_norms(rows[shown])}",
    )


def _norms(row: LayerRow) -> str:
    return f"{row.point}: norm {row.candidate_norm:.4g}, reference {row.reference_norm:.4g}"
