"""The engine's speed beside its baseline's: what fails, what is only shown, what cannot be told."""

import dataclasses
from typing import Any

import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.config.performance import Performance as Section
from npu_conformance.config.performance import Workload
from npu_conformance.measure.results import Result
from npu_conformance.traces.performance import Bench, Figure, Performance
from tests.unit.helpers.baseline_runs import baseline_of
from tests.unit.helpers.scenes import Scene
from tests.unit.helpers.speeds import speed

LIMITS = {"throughput_tokens_per_s": 0.9, "single_tpot_p50_ms": 0.9}


def judged(
    scene: Scene,
    now: Performance | None,
    before: Performance | None,
    limits: dict[str, float] | None = None,
    **changes: Any,
) -> dict[str, Result]:
    """The results of a run, by what they are of."""
    evidence = scene.evidence()
    config = evidence.config.model_copy(update={"performance": Section(min_ratio=limits or {})})
    baseline = baseline_of(evidence, performance=before)
    told: dict[str, Any] = {
        "variant": "as_served",
        "config": config,
        "baseline": baseline,
        "performance": now,
    } | changes
    found = CHECKS["performance_regression"].judge(dataclasses.replace(evidence, **told))
    return {one.at.removeprefix("speed:"): one for one in found}


def test_an_engine_that_became_slower_fails_by_name(scene: Scene) -> None:
    """A rate that fell and a time that grew are ratios below 1 alike."""
    found = judged(scene, speed(0.8), speed(), LIMITS)

    assert {name: found[name].verdict for name in LIMITS} == dict.fromkeys(LIMITS, "fail")
    assert [found[name].observed for name in LIMITS] == [pytest.approx(0.8)] * 2
    assert found["single_tpot_p50_ms"].where == "20 ms in the baseline, 25 ms now"
    assert found["single_latency_p50_ms"].verdict == "shown"
    assert found["single_latency_p50_ms"].n == 32
    assert "kv_cache_tokens" not in found


@pytest.mark.parametrize("factor", [0.95, 1.0, 3.0])
def test_within_the_limit_or_faster_passes(scene: Scene, factor: float) -> None:
    """And without a limit nothing is judged, however slow it is."""
    limited, free = judged(scene, speed(factor), speed(), LIMITS), judged(scene, speed(0.01), speed())

    assert {limited[name].verdict for name in LIMITS} == {"pass"}
    assert {one.verdict for one in free.values()} == {"shown"}


def test_another_load_or_device_is_no_comparison(scene: Scene) -> None:
    """A limit cannot be judged then; how much the reference decodes matters to none."""
    other = speed(0.5, workload=Workload(concurrency=16, reference_tokens=0), device="Ascend910B")
    found = judged(scene, other, speed(), LIMITS)
    same = judged(scene, speed(workload=Workload(reference_tokens=0)), speed(), LIMITS)

    assert {found[name].verdict for name in LIMITS} == {"inconclusive"}
    assert found["single_tpot_p50_ms"].message == (
        "cannot be compared with the baseline: device cpu then, Ascend910B now; concurrency 8 then, 16 now"
    )
    assert found["single_latency_p50_ms"].verdict == "shown"
    assert {same[name].verdict for name in LIMITS} == {"pass"}


def test_a_limit_on_what_was_not_measured_does_not_pass(scene: Scene) -> None:
    """Nothing passes because there was nothing to compare."""
    found = judged(scene, speed(), speed(), {"latency_p50_ms": 0.5})

    assert found["latency_p50_ms"].verdict == "inconclusive"
    assert found["latency_p50_ms"].message == "latency_p50_ms: was not measured in this run"


@pytest.mark.parametrize(("now", "before"), [(0.0, 1.5), (1.5, 0.0)])
def test_a_time_of_zero_neither_passes_nor_fails(scene: Scene, now: float, before: float) -> None:
    """A log tells it in digits that are too few; with a limit that is inconclusive."""
    this, then = with_weights(now), with_weights(before)
    limited, free = (judged(scene, this, then, limits)["weights_s"] for limits in ({"weights_s": 0.9}, None))

    assert (limited.verdict, free.verdict) == ("inconclusive", "shown")
    assert limited.observed is None
    assert limited.message == (
        f"weights_s: has no ratio to the baseline's: {before:g} s in the baseline, {now:g} s now"
    )


def with_weights(seconds: float) -> Performance:
    """A record in which weights were read in so many seconds."""
    bench = Bench(figures={"weights_s": Figure(value=seconds, n=1)}, command=("vllm serve",))
    return speed(tools={"serve": bench})


def test_a_tool_that_failed_is_an_error(scene: Scene) -> None:
    """Though the others gave figures, and there is a baseline or none."""
    broken = speed(failed={"serve": "vllm bench serve: 3 of 32 requests were answered"})
    with_baseline, without = judged(scene, broken, speed()), judged(scene, broken, None)

    assert with_baseline["answers"].verdict == without["answers"].verdict == "error"
    assert "(serve): vllm bench serve: 3 of 32" in (without["answers"].message or "")
    assert "throughput_tokens_per_s" in with_baseline


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"variant": "base"}, "in as_served only"),
        ({"performance": None}, "--performance does"),
        ({"baseline": None}, "held against no baseline"),
        ({"baseline": None, "outdated": "other weights"}, "the baseline is outdated: other weights"),
        ({}, "the baseline has no speed"),
    ],
)
def test_without_two_measurements_it_is_not_applicable(scene: Scene, changes: dict[str, Any], why: str) -> None:
    """With what to do."""
    (found,) = judged(scene, speed(), None, LIMITS, **changes).values()

    assert found.verdict == "not_applicable"
    assert why in (found.message or "")


def test_a_baseline_that_is_to_be_replaced_judges_nothing(scene: Scene) -> None:
    """Its ratios are shown."""
    found = judged(scene, speed(0.1), speed(), LIMITS, replacing=True)

    assert {one.verdict for one in found.values()} == {"shown"}
