"""Reports of made-up runs of five models: green ones and failing ones, put together without traces."""

from collections.abc import Iterable
from typing import Any, Literal

from npu_conformance.checks import CHECKS
from npu_conformance.measure.layer_table import LayerRow
from npu_conformance.measure.results import Result, worst
from npu_conformance.measure.three_way import IMPLICATES, ThreeWay
from npu_conformance.report.details import VariantDetails
from npu_conformance.report.findings import Paths
from npu_conformance.report.model import ModelReport, Report
from tests.unit.helpers.report_runs import RUN

FIVE = ("BitCPM4-CANN-1B", "Qwen3-1.7B-GPTQ-Int8-FP16", "Qwen3-4B-FP8", "Qwen3.5-4B-Condenser", "Qwen3Guard-Gen-4B")
VARIANTS = ("base", "as_served", "graph", "prefix_caching", "chunked_prefill", "tp2")
NAMES = tuple(CHECKS)
# Of other variants than base and as_served.
_NOT_THERE = ("hidden_states", "regression", "adapter_effect", "prefill_closeness", "greedy_determinism")


def check(name: str, variant: str = "base", verdict: str = "pass", **fields: Any) -> Result:
    """A number of a check."""
    return Result.model_validate({"check": name, "variant": variant, "metric": name, "verdict": verdict} | fields)


def failed(name: str, variant: str = "base", **fields: Any) -> Result:
    """One that breaks its limit."""
    common = {"metric": "relative_l2_mean", "observed": 0.05, "limit": 0.02, "relation": "<=", "n": 1110}
    return check(name, variant, "fail", **(common | fields))


def layers_failed(variant: str = "base", point: str = "model.layers.1") -> Result:
    """Hidden states that are wrong from a layer on."""
    where = f"first beyond at {point}: norm 3.5, reference 5.1"
    return failed(
        "hidden_states", variant, metric="hidden_cosine_min", observed=0.7, limit=0.99, relation=">=", where=where
    )


def green(variants: Iterable[str] = VARIANTS) -> list[Result]:
    """Every check of every variant: judged, or with nothing to judge."""
    return [
        check(name, variant, "not_applicable" if variant not in VARIANTS[:2] and name in _NOT_THERE else "pass")
        for variant in variants
        for name in NAMES
    ]


def with_these(checks: list[Result], others: Iterable[Result]) -> list[Result]:
    """Checks, some of them replaced."""
    others = list(others)
    replaced = {(one.variant, one.check) for one in others}
    return [one for one in checks if (one.variant, one.check) not in replaced] + others


def details(variant: str, seen: ThreeWay | None = None, changes: str = "") -> VariantDetails:
    """Of a variant that ran."""
    told = None if seen is None else Paths(
        **seen._asdict(), decode_l2=0.05, prefill_l2=0.05, own_l2=0.001, implicates=IMPLICATES[seen]
    )  # fmt: skip
    points = ("embedding", "model.layers.0", "model.layers.1", "final norm")
    return VariantDetails(
        variant=variant,
        candidate={},
        reference={},
        metrics_version=1,
        changes=changes,
        three_way=told,
        positions=1110,
        own_limits={},
        relative_l2=[],
        prompts=[],
        labels=[],
        layers=[_layer(point) for point in points] if variant == "base" else [],
    )


def model(
    name: str,
    checks: list[Result],
    variants: Iterable[VariantDetails] = (),
    subject: Literal["real", "twin"] = "twin",
    not_judged: Iterable[str] = (),
) -> ModelReport:
    """A model's part of a report."""
    return ModelReport(
        name=name,
        subject=subject,
        verdict=worst(one.verdict for one in checks),
        checks=checks,
        not_judged=list(not_judged),
        variants=list(variants),
    )


def report(*models: ModelReport) -> Report:
    """Of a run."""
    return Report(run=RUN.model_copy(update={"engine_starts": 34}), models=list(models))


def green_report() -> Report:
    """Five models that pass; one stays open in a check, another's weights are not there."""
    few = "926 positions cannot show 99.5 % with 95 % confidence: use --prompts 75"
    open_ = [check("token_agreement", variant, "inconclusive", message=few) for variant in VARIANTS]
    models = [model(name, green(), map(details, VARIANTS)) for name in FIVE]
    models[1] = model(FIVE[1], with_these(green(), open_), map(details, VARIANTS))
    gone = [check(name, "base", "skipped", message="Qwen3-8B-W8A8 has no twin: run its real weights") for name in NAMES]
    return report(*models, model("Qwen3-8B-W8A8", gone))


def failing_report() -> Report:
    """Five models, each with a trouble of its own: wrong weights, a layer, a variant, an engine, and nothing."""
    both = ThreeWay(False, False, True)
    spread = ("logits_closeness", "error_over_floor", "token_agreement", "peak_over_floor", "signed_bias")
    where = "model.layers.1.mlp.gate_proj.weight: as if exchanged with model.layers.1.mlp.up_proj.weight"
    weights = [failed("checkpoint_weights", one, metric="published_parameters", observed=45, limit=46, relation=">=",
                      where=where) for one in VARIANTS[:2]]  # fmt: skip
    follow = [failed(name, variant) for name in spread for variant in VARIANTS]
    lost = [check(name, variant, "error", message="not run: the engine did not start")
            for variant in VARIANTS for name in NAMES]  # fmt: skip
    lost[0] = lost[0].model_copy(
        update={"message": f"{FIVE[3]} base: ValueError: free memory (3.1 GiB) is less than desired; log: /r/log.txt"}
    )
    wrong = [details("base", both), *map(details, VARIANTS[1:])]
    graph = [details(one, None, "ACL graphs instead of eager mode" if one == "graph" else "") for one in VARIANTS]
    layer_checks = with_these(green(), [layers_failed(), *follow])
    return report(
        model(FIVE[0], with_these(green(), [*weights, *follow]), wrong),
        model(FIVE[1], layer_checks, wrong),
        model(FIVE[2], with_these(green(), [failed("variant_closeness", "graph"), failed("drift", "graph")]), graph),
        model(FIVE[3], lost),
        model(FIVE[4], green(), map(details, VARIANTS)),
    )


def _layer(point: str) -> LayerRow:
    numbers = {"candidate_norm": 1.0, "reference_norm": 1.0, "growth": None, "cosine": 1.0, "relative_l2": 0.0}
    return LayerRow.model_validate(numbers | {"point": point, "norm_deviation": 0.0, "finite": True, "explodes": False})
