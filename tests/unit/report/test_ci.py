"""What CI systems read: properties of JUnit's XML, and GitHub's annotations."""

import pytest

from npu_conformance.report.ci import annotations, figure_properties, on_github
from npu_conformance.report.words.metrics import METRICS
from tests.unit.helpers.finished_reports import check, failed, failing_report, green_report, model, report


def test_figures_are_properties_by_their_names() -> None:
    """With limit and n; of other places than answers with the place; what was not observed has its verdict alone."""
    batch = failed(
        "batch_determinism", metric="equal_or_tied_tokens", at="batch:alone", observed=57.0, limit=59.0, n=59
    )
    found = dict(figure_properties([failed("logits_closeness"), batch, check("labels", verdict="not_applicable")]))

    both = figure_properties([failed("error_over_floor"), failed("error_over_floor", path="prefill")])
    assert len(dict(both)) == len(both)
    assert found["relative_l2_mean"] == "0.05"
    assert found["relative_l2_mean.limit"] == "<= 0.02"
    assert found["relative_l2_mean.n"] == "1110"
    assert found["equal_or_tied_tokens@batch:alone"] == "57"
    assert found["labels.verdict"] == "not_applicable"
    assert "labels" not in found
    assert {name.split("@")[0].split(".")[0] for name in found} <= {*METRICS, "labels"}


def test_what_failed_is_annotated_by_cause() -> None:
    """One line a cause, one a model in error, none of what passed."""
    lines = annotations(failing_report())

    assert annotations(green_report()) == []
    assert all(line.startswith("::error title=") for line in lines)
    assert sum("BitCPM4-CANN-1B (twin)" in line for line in lines) == 1
    assert any("first bad layer model.layers.1" in line for line in lines)
    assert any("free memory" in line for line in lines)
    assert not any("Qwen3Guard" in line for line in lines)


def test_no_text_begins_a_command_of_its_own() -> None:
    """Line breaks and percents are escaped, and the title cannot be ended."""
    hostile = check("labels", verdict="error", message="50 %\n::error::x\r::stop-commands::y")
    (line,) = annotations(report(model("A", [hostile])))

    assert line == "::error title=A (twin)::50 %25%0A::error::x\\r::stop-commands::y"


@pytest.mark.parametrize(("value", "there"), [("true", True), ("", False)])
def test_annotations_are_githubs_alone(monkeypatch: pytest.MonkeyPatch, value: str, there: bool) -> None:
    """Elsewhere they would be noise."""
    monkeypatch.setenv("GITHUB_ACTIONS", value)

    assert on_github() is there
