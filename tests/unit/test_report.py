"""The report: its schema, its Markdown, and that text from outside cannot break it."""

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from npu_conformance import gates
from npu_conformance.config import Limit
from npu_conformance.provenance import numeric_environment
from npu_conformance.report.details import load_details, save_details
from npu_conformance.report.markdown import cell, render_markdown
from npu_conformance.report.model import Report, Run, build_report, report_schema
from npu_conformance.report.words import WORDS
from npu_conformance.report.write import summary_lines, write_report
from npu_conformance.results import Check

from .conftest import Scene
from .suite_runs import ROOT

PROVENANCE = {
    "engine": "vllm",
    "versions": {"vllm": "0.32.0", "python": "3.11.7"},
    "platform": "cpu",
    "device": "a processor",
    "effective": {"dtype": "bfloat16", "enforce_eager": True},
    "environment": {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
    "seconds": {"start": 2.0, "generate": 1.5},
}
REFERENCE = {
    "engine": "transformers",
    "versions": {"transformers": "5.19.0"},
    "platform": "cpu",
    "device": "a processor",
    "setting": {"attn_implementation": "sdpa"},
    "seconds": {"total": 4.0},
    "computed": 3,
    "from_cache": 0,
}
FACTS = {
    "kind": "twin",
    "model": "a/b",
    "hardware": "Atlas 800 A2",
    "weights": "/w",
    "weights_digest": "d1",
    "reference_weights": "/w",
    "reference_digest": "d1",
    "config_digest": "c1",
    "architecture": {"hidden_layers": 4},
}


@pytest.fixture
def report(scene: Scene, tmp_path: Path) -> Report:
    """The report of a clean run of a twin."""
    for side, provenance in (("candidate", PROVENANCE), ("reference", REFERENCE)):
        path = scene.folder / side / "trace.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"provenance": provenance}))
    evidence = scene.evidence()
    save_details(tmp_path / "run", "Model", FACTS, evidence)
    checks = [
        check for judge in (gates.token_agreement, gates.logits_closeness, gates.labels) for check in judge(evidence)
    ]
    run = Run(
        started=datetime(2026, 1, 2, tzinfo=timezone.utc),
        command="pytest --twin",
        versions={"python": "3.11.7"},
        machine={"processor": "a processor"},
        suite=None,
    )
    return build_report(tmp_path / "run", {"Model": checks}, {"Model": "twin"}, run, ROOT / "baselines")


def test_the_checked_in_schema_is_current() -> None:
    """`npu-conformance schema` writes it."""
    assert json.loads((ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8")) == report_schema()


def test_the_json_holds_what_scripts_rely_on(report: Report, tmp_path: Path) -> None:
    """Names stay what they are; it reads back to the same report."""
    write_report(report, tmp_path / "run")
    content = json.loads((tmp_path / "latest" / "report.json").read_text(encoding="utf-8"))

    assert content["schema_version"] == 1
    assert set(content["run"]) >= {"started", "command", "versions", "machine", "suite"}
    (model,) = content["models"]
    assert (model["name"], model["subject"], model["verdict"]) == ("Model", "twin", "pass")
    keys = {"check", "path", "variant", "metric", "observed", "limit", "n", "interval", "verdict", "where"}
    assert all(keys <= set(check) for check in model["checks"])
    assert Report.model_validate(content) == report


def test_nan_survives_the_json(report: Report) -> None:
    """It is written as a string, where pydantic's default would make it null and a reader might take it for absent."""
    check = Check(check="c", variant="base", metric="m", observed=float("nan"), verdict="fail")
    report.models[0].checks.append(check)

    assert '"observed":"NaN"' in report.model_dump_json()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_heading_of_a_twin_says_so(report: Report, language: str) -> None:
    """Nobody can quote a table of a twin as the model's."""
    text = render_markdown(report, "zh" if language == "zh" else "en")
    word = WORDS["twin"][language == "zh"]
    headings = [line for line in text.splitlines() if line.startswith("#")]
    of_the_model = headings[2:-1]

    assert len(of_the_model) >= 6
    assert all(word in heading for heading in of_the_model)
    assert f"({word})" in text.split("##")[1]


def test_the_markdown_has_the_published_tables(report: Report) -> None:
    """Model, environment, metrics with limits, labels, prompt by prompt."""
    text = render_markdown(report, "en")

    assert "| Token agreement | 100 % | ≥ 99 % | 99.36 % – 100 % | ✅ pass |" in text
    assert "| Cosine similarity, min | 0.99999" in text
    assert "| the first prompt | Safe | Safe | Safe | ✅ |" in text
    assert "✅ 200/200" in text
    assert "3 prompts, n = 600" in text
    assert "Traceback" not in text
    assert "{{" not in text


def test_a_limit_of_the_models_own_is_shown_with_its_reason(report: Report) -> None:
    """A loosened limit cannot be loosened in silence."""
    own = Limit(value=0.5, reason="measured on the BF16 original")
    report.models[0].variants[0].own_limits["kl_mean"] = own

    assert "This model's own limit: kl_mean 0.5: measured on the BF16 original" in render_markdown(report, "en")


def test_secrets_stay_out_of_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """VLLM's API key begins like its switches."""
    monkeypatch.setenv("VLLM_API_KEY", "s3cret")
    monkeypatch.setenv("VLLM_BATCH_INVARIANT", "1")

    assert "VLLM_API_KEY" not in numeric_environment()
    assert numeric_environment()["VLLM_BATCH_INVARIANT"] == "1"


def test_both_languages_have_the_same_tables(report: Report) -> None:
    """Row for row."""
    english, chinese = (render_markdown(report, "en"), render_markdown(report, "zh"))

    assert english.count("\n|") == chinese.count("\n|")
    assert "判定" in chinese


def test_text_from_outside_is_only_text(report: Report) -> None:
    """A prompt or an answer cannot add rows, columns, links or markup."""
    hostile = "a | b\n| c | <script>x</script> [l](http://e) `q` **w** " + "z" * 100
    shown = cell(hostile)

    assert "\n" not in shown
    assert "<" not in shown
    assert shown.replace("\\|", "").count("|") == 0
    assert shown.endswith("…")
    report.models[0].variants[0].prompts[0].text = hostile
    rows = [line for line in render_markdown(report, "en").splitlines() if line.startswith("|")]
    assert not any("script>" in row for row in rows)


def test_a_model_that_never_ran_is_reported_with_its_reason(tmp_path: Path, report: Report) -> None:
    """Errors stand where tables would be."""
    error = Check(check="labels", variant="base", metric="labels", verdict="error", message="the worker was killed")
    broken = build_report(tmp_path / "none", {"Other": [error]}, {"Other": "real"}, report.run, ROOT / "baselines")

    assert broken.models[0].verdict == "error"
    assert "labels (base): ⛔ error the worker was killed" in render_markdown(broken, "en")
    assert summary_lines(broken, tmp_path)[0].startswith("Other: ERROR · 1 error")


def test_a_selection_of_properties_is_called_partial(report: Report, tmp_path: Path) -> None:
    """A pass of three properties in one variant is not the model's pass; the report says what is missing."""
    (model,) = report.models

    assert "base: prompt_tokens" in model.not_judged
    assert "as_served: labels" in model.not_judged
    assert "base: labels" not in model.not_judged
    assert "pass (partial)" in render_markdown(report, "en")
    left = 2 * len(gates.PROPERTIES) - 3
    assert f"partial: {left} properties not selected" in summary_lines(report, tmp_path)[0]


def test_details_come_back_as_they_were_saved(report: Report, tmp_path: Path) -> None:
    """They travel through files, because another process may write the report."""
    facts, (variant,) = load_details(tmp_path / "run", "Model")

    assert facts is not None
    assert facts.model_dump(exclude_defaults=True) == FACTS
    assert variant == report.models[0].variants[0]
    assert len(variant.relative_l2) == variant.positions == 600


def test_latest_points_at_the_newest(report: Report, tmp_path: Path) -> None:
    """A link that is replaced in one step."""
    for name in ("one", "two"):
        write_report(report, tmp_path / name)

    assert (tmp_path / "latest").resolve() == (tmp_path / "two").resolve()
