"""What a report quotes of the recorded campaign, and of which runs."""

import dataclasses

import pytest

from npu_conformance.checks import CALIBRATED, CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.measure.results import Result
from npu_conformance.report import ruled_out as quoting
from npu_conformance.report.details import load_details, save_details
from npu_conformance.report.ruled_out import AllCaught, Caught, Sample, ruled_out
from tests.unit.helpers.baseline_runs import baseline_of, held
from tests.unit.helpers.report_runs import FACTS
from tests.unit.helpers.scenes import Scene

SAMPLE = Sample(60, 900)
RECORD = AllCaught(
    prompts=60,
    positions=900,
    allowed={"drift": 1.15, "worst_logits": 3.0},
    caught=tuple(
        Caught(check=check, kind=kind, strength=1.1, needs=needs)
        for check in ("drift", "worst_logits", "worst_prompts", "logits_closeness")
        for kind, needs in (("layer_scaled", None), ("lora_scale", "lora"))
    ),
)
PASSED = Result(check="drift", variant="base", metric="drift", limit=1.15, verdict="pass")
CLOSE = {"check": "logits_closeness", "metric": "relative_l2_mean", "limit": 0.02}


@pytest.fixture(autouse=True)
def record(monkeypatch: pytest.MonkeyPatch) -> None:
    """The campaign that is quoted."""
    monkeypatch.setattr(quoting, "_recorded", lambda: RECORD)


def quoted(*checks: Result, sample: Sample = SAMPLE, parts: tuple[str, ...] = ()) -> dict[str, dict[str, float]]:
    """Faults by the property that is said to have caught them."""
    return {one.check: one.faults for one in ruled_out(checks, checks[0].variant, sample, parts)}


def test_what_was_judged_as_strictly_is_quoted() -> None:
    """By a gate, by figures, and of the parts that the model has."""
    assert quoted(PASSED) == {"drift": {"layer_scaled": 1.1}}
    assert quoted(PASSED, parts=("lora",)) == {"drift": {"layer_scaled": 1.1, "lora_scale": 1.1}}
    assert quoted(PASSED.model_copy(update=CLOSE)) == {"logits_closeness": {"layer_scaled": 1.1}}
    assert quoted(PASSED.model_copy(update={"check": "worst_logits", "limit": 2.9}))


@pytest.mark.parametrize(
    "change",
    [
        {"limit": 1.3},
        {"limit": None},
        {"limit": float("nan")},
        {"verdict": "inconclusive"},
        {"variant": "graph"},
        CLOSE | {"limit": 0.4},
        {"check": "worst_logits", "limit": 3.1},
        # The record does not say what it allowed.
        {"check": "worst_prompts", "limit": 1.0},
    ],
)
def test_what_reaches_less_far_is_not_quoted(change: dict[str, object]) -> None:
    """A wider limit, none, another variant, a check that did not pass."""
    assert quoted(PASSED.model_copy(update=change)) == {}


def test_a_limit_that_was_not_asserted_says_nothing() -> None:
    """One that a floor run breaks itself: the check passes by its other figures."""
    passed = PASSED.model_copy(update=CLOSE)
    broken = passed.model_copy(update={"metric": "cosine_min", "limit": 0.999, "relation": ">=", "verdict": "shown"})
    assert quoted(passed, broken) == {}
    assert quoted(passed, broken.model_copy(update={"limit": None, "metric": "kl_p99"}))


@pytest.mark.parametrize("sample", [Sample(59, 900), Sample(60, 899), Sample(0, 900)])
def test_a_smaller_sample_says_nothing(sample: Sample) -> None:
    """Fewer prompts, or fewer positions: shorter answers."""
    assert quoted(PASSED, sample=sample) == {}


def test_a_record_of_before_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not say what its gates allowed, nor on how many positions."""
    before = RECORD.model_dump(exclude={"positions", "allowed"})
    monkeypatch.setattr(quoting, "_recorded", lambda: AllCaught.model_validate(before))
    assert quoted(PASSED) == quoted(PASSED.model_copy(update=CLOSE)) == {}


def test_a_blunt_run_quotes_less(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same clean run with its reference, with a fortieth of the rate of false alarms, and by its baseline only."""
    whole = scene.evidence()
    blunt = held(scene, baseline_of(whole), baseline_only=True)
    shared = dataclasses.replace(whole, false_alarms=whole.false_alarms / 40)
    limits = {name: _limit(whole, name) for name in ("error_over_floor", "worst_positions", "worst_logits")}
    caught = tuple(Caught(check=check, kind="layer_scaled", strength=1.1, needs=None) for check in limits)
    of_scene = AllCaught(prompts=3, positions=600, allowed=limits, caught=caught)
    monkeypatch.setattr(quoting, "_recorded", lambda: of_scene)

    assert _quoted(scene, whole) == set(limits)
    assert _quoted(scene, shared) == {"error_over_floor"}
    assert _quoted(scene, blunt) == set()
    # Not for want of a pass; the worst of many is too blunt even for that.
    found = {name: {one.verdict for one in CHECKS[name].judge(blunt)} for name in limits}
    assert found["error_over_floor"] == {"pass"}
    assert all(verdicts <= {"pass", "shown"} for verdicts in found.values())


def _limit(evidence: Evidence, gate: str) -> float:
    return max(one.limit or 0.0 for one in CHECKS[gate].judge(evidence))


def _quoted(scene: Scene, evidence: Evidence) -> set[str]:
    save_details(scene.folder, "Model", FACTS | {"variants": ["base"]}, evidence)
    (own,) = load_details(scene.folder, "Model")[1]
    checks = [result for gate in CALIBRATED for result in gate.judge(evidence)]
    return {one.check for one in ruled_out(checks, "base", Sample(len(own.prompts), own.positions), ())}
