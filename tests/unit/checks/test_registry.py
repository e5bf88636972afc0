"""The registry: each check has its test, its words, and a reason for every run that lacks what it requires."""

from pathlib import Path
from typing import get_args

import pytest

from npu_conformance.checks import CALIBRATED, CHECKS
from npu_conformance.checks.capabilities import Capability, lacks
from npu_conformance.config.limits import FIGURES, NOISE_FIGURES
from npu_conformance.measure.noise import LAYERS, TESTS, WORST
from npu_conformance.measure.results import Result
from npu_conformance.report.words import place, title
from npu_conformance.report.words.metrics import AT, METRICS
from npu_conformance.traces.cases import Scenario
from tests.conformance import test_checks
from tests.unit.helpers.scenes import Scene

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_every_check_has_a_conformance_test_of_its_name() -> None:
    """Scripts select by it."""
    tests = {name.removeprefix("test_") for name in vars(test_checks) if name.startswith("test_")}

    assert tests == set(CHECKS)
    assert test_checks.__dict__["test_drift"].__doc__ == CHECKS["drift"].question[0]


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_is_asked_in_two_languages_and_its_metrics_have_words(name: str) -> None:
    """What a report shows of it."""
    english, chinese = CHECKS[name].question

    assert english.endswith(".")
    assert chinese.isascii() is False
    assert [metric for metric in CHECKS[name].metrics if metric not in METRICS] == []


@pytest.mark.parametrize("page", ["checks.md", "zh/verdict.md"])
def test_each_check_has_a_row_in_the_docs(page: str) -> None:
    """In both languages."""
    rows = [line.split("|")[1] for line in (DOCS / page).read_text(encoding="utf-8").splitlines() if line[:1] == "|"]

    assert [name for name in CHECKS if not any(f"`{name}`" in row for row in rows)] == []


def test_each_calibrated_test_has_its_gate_and_its_limit() -> None:
    """And the limit of each is a figure's, or chance alone."""
    assert {gate.id for gate in CALIBRATED} == {*TESTS, LAYERS}
    assert {figure.name for figure in NOISE_FIGURES} == {*TESTS, LAYERS} - set(WORST)


@pytest.mark.parametrize(("page", "heading"), [("verdict.md", "Calibrated gates"), ("zh/verdict.md", "校准判定项")])
def test_each_gate_is_explained_with_its_limit(page: str, heading: str) -> None:
    """In both languages."""
    _, found, section = (DOCS / page).read_text(encoding="utf-8").partition(f"\n## {heading}\n")

    assert found
    assert [gate.id for gate in CALIBRATED if f"\n| `{gate.id}` |" not in section] == []


def test_every_figure_and_place_has_words() -> None:
    """And a place that has none is no word of its own."""
    assert [name for name in FIGURES if name not in METRICS] == []
    assert {f"batch:{scenario}" for scenario in get_args(Scenario)} <= set(AT)
    result = Result(check="drift", variant="base", metric="drift", at="cold", verdict="pass")
    assert title("en", result) == f"{METRICS['drift'][0]}, {AT['cold'][0]}"
    with pytest.raises(KeyError):
        place("en", "nowhere")


def test_results_are_of_declared_metrics(scene: Scene) -> None:
    """On a whole run: a metric that a check does not declare would have no words."""
    for evidence in (scene.evidence(), scene.forced("chunked_prefill", enable_chunked_prefill=True)):
        for check in CHECKS.values():
            measured = [one.metric for one in check.judge(evidence) if one.observed is not None]
            assert set(measured) <= set(check.metrics), check.id


def test_what_a_run_lacks_is_said_once_for_all_checks(scene: Scene) -> None:
    """By the capability, and not by each check in its own way."""
    forced = scene.forced("chunked_prefill", enable_chunked_prefill=True)
    said = {one: lacks(forced, one) for one in get_args(Capability)}

    assert said["hidden_states"] == "hidden states are kept in base only"
    assert said["base"] is None
    for check in CHECKS.values():
        reasons = [said[one] for one in check.requires if said[one] is not None]
        if reasons:
            (result,) = check.judge(forced)
            assert (result.verdict, result.message) == ("not_applicable", reasons[0])
