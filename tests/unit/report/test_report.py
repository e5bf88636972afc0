"""The report: its schema, its Markdown, and that text from outside cannot break it."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from npu_conformance.__main__ import main
from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.config.model import Limit
from npu_conformance.errors import TraceError
from npu_conformance.machine.provenance import numeric_environment
from npu_conformance.measure.results import Result
from npu_conformance.report.cards.markdown import cell
from npu_conformance.report.details import load_details, save_details
from npu_conformance.report.model import SCHEMA_VERSION, Report, build_report, report_schema
from npu_conformance.report.prompt_rows import prompt_rows
from npu_conformance.report.renderers.markdown import LONGEST, render_markdown
from npu_conformance.report.terminal import summary_lines
from npu_conformance.report.words.labels import WORDS
from npu_conformance.report.write import write_report
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import load_trace
from tests.unit.helpers.report_runs import FACTS, RUN, line, showable, tell_provenance, under
from tests.unit.helpers.scenes import Scene
from tests.unit.helpers.suite_runs import ROOT


@pytest.fixture
def report(scene: Scene, tmp_path: Path) -> Report:
    """The report of a clean run of a twin."""
    tell_provenance(scene)
    return reported(showable(scene).evidence(), tmp_path / "run")


def reported(evidence: Evidence, folder: Path) -> Report:
    """The report of three properties."""
    save_details(folder, "Model", FACTS, evidence)
    checks = [
        result for name in ("token_agreement", "logits_closeness", "labels") for result in CHECKS[name].judge(evidence)
    ]
    return build_report(folder, {"Model": checks}, {"Model": "twin"}, RUN, ROOT / "baselines")


def test_the_checked_in_schema_is_current() -> None:
    """`npu-conformance dev schema` writes it."""
    assert json.loads((ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8")) == report_schema()


def test_the_json_holds_what_scripts_rely_on(report: Report, tmp_path: Path) -> None:
    """Names stay what they are; it reads back to the same report."""
    write_report(report, tmp_path / "run")
    content = json.loads((tmp_path / "latest" / "report.json").read_text(encoding="utf-8"))

    assert content["schema_version"] == SCHEMA_VERSION == 3
    assert set(content["run"]) >= {"started", "command", "versions", "machine", "suite"}
    (model,) = content["models"]
    assert (model["name"], model["subject"], model["verdict"]) == ("Model", "twin", "pass")
    keys = {"check", "path", "variant", "metric", "at", "observed", "limit", "n", "interval", "verdict", "where"}
    assert all(keys <= set(check) for check in model["checks"])
    assert Report.model_validate(content) == report


def test_the_schema_tells_its_version() -> None:
    """Version 1 had remarks on layers, and none of what is required of them now."""
    schema = report_schema()

    assert schema["properties"]["schema_version"]["default"] == SCHEMA_VERSION
    assert "remark" not in schema["$defs"]["LayerRow"]["properties"]
    assert {"finite", "explodes", "norm_deviation"} <= set(schema["$defs"]["LayerRow"]["required"])


def test_a_report_is_rendered_again_by_its_own_version_only(
    report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of another is refused in a line that says which, before its parts are read."""
    write_report(report, tmp_path / "run")
    kept = (tmp_path / "run" / "report.md").read_bytes()
    (tmp_path / "run" / "report.md").unlink()

    assert main(["report", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "report.md").read_bytes() == kept

    path = tmp_path / "run" / "report.json"
    path.write_text(json.dumps({"schema_version": 1, "models": [{"layers": [{"remark": ""}]}]}), encoding="utf-8")
    capsys.readouterr()

    assert main(["report", str(tmp_path / "run")]) == 1
    assert f"{path}: has schema 1, this version writes {SCHEMA_VERSION}" in capsys.readouterr().err


def test_nan_survives_the_json(report: Report) -> None:
    """It is written as a string, where pydantic's default would make it null and a reader might take it for absent."""
    check = Result(check="c", variant="base", metric="m", observed=float("nan"), verdict="fail")
    report.models[0].checks.append(check)

    assert '"observed":"NaN"' in report.model_dump_json()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_heading_of_a_twin_says_so(report: Report, language: str) -> None:
    """Nobody can quote a table of a twin as the model's."""
    text = render_markdown(report, "zh" if language == "zh" else "en")
    word = WORDS["twin"][language == "zh"]
    of_the_model = [line for line in text.splitlines() if re.match("#+ ", line)][2:]

    assert len(of_the_model) >= 20
    assert all(heading.endswith(word) for heading in of_the_model)
    assert "| Model (twin) |" in text.split("##")[1]


def test_the_markdown_has_the_published_tables(report: Report) -> None:
    """Model, environment, metrics with limits, labels, prompt by prompt."""
    text = render_markdown(report, "en")

    shown = "96.58 % – 100 % | ✅ pass | 600 of 600 shows at least 96.58 %"
    assert f"| Token agreement | 100 % | 100 % | ≥ 93 % | 600 | {shown} |" in text
    assert "| Cosine similarity, min | 0.99999" in text
    assert "| the first prompt | Safe | Safe | Safe | ✅ |" in text
    assert "✅ 200/200" in text
    assert "3 prompts, 600 positions" in text
    assert "Traceback" not in text
    assert "{{" not in text


def test_a_rate_that_few_prompts_cannot_show_is_reported_as_inconclusive(scene: Scene, tmp_path: Path) -> None:
    """With how many would, where it decides too; the summary says that it is."""
    tell_provenance(scene)
    report = reported(scene.evidence(), tmp_path / "run")
    text = render_markdown(report, "en")

    assert report.models[0].verdict == "inconclusive"
    cells = line(report, "Token agreement", heading="metrics")
    assert cells[3:7] == ["≥ 99 %", "600", "96.58 % – 100 %", "❓ inconclusive"]
    assert cells[7].startswith("600 positions cannot show 99 % with 95 % confidence")
    assert "❓ inconclusive (partial)" in text.split("# Model")[0]
    assert "600 positions cannot show 99 %" in "\n".join(under(text, "what_decided"))


def test_a_limit_of_the_models_own_is_shown_with_its_reason(report: Report) -> None:
    """A loosened limit cannot be loosened in silence."""
    own = Limit(value=0.5, reason="measured on the BF16 original")
    report.models[0].variants[0].own_limits["kl_mean"] = own

    assert line(report, "KL(reference‖candidate), mean", heading="own_limits")[1:] == ["0.5", own.reason]


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
    hostile = "a | b\n| c | <script>x</script> [l](http://e) `q` **w** " + "z" * 3000
    shown = cell(hostile)

    assert "\n" not in shown
    assert "<" not in shown
    assert shown.replace("\\|", "").count("|") == 0
    assert shown.endswith("…")
    assert len(cell(hostile, LONGEST)) < LONGEST + 100 < 3000
    report.models[0].variants[0].prompts[0].text = hostile
    rows = [line for line in render_markdown(report, "en").splitlines() if line.startswith("|")]
    assert not any("<script>" in row or "[l](" in row for row in rows)
    assert max(map(len, rows)) < 2 * LONGEST


def test_a_model_that_never_ran_is_reported_with_its_reason(tmp_path: Path, report: Report) -> None:
    """Errors stand where tables would be."""
    error = Result(check="labels", variant="base", metric="labels", verdict="error", message="the worker was killed")
    broken = build_report(tmp_path / "none", {"Other": [error]}, {"Other": "real"}, report.run, ROOT / "baselines")

    assert broken.models[0].verdict == "error"
    assert "| base | ⛔ error | labels | the worker was killed |" in render_markdown(broken, "en")
    assert summary_lines(broken, tmp_path)[0][0].startswith("Other: ERROR ")


def test_a_selection_of_properties_is_called_partial(report: Report, tmp_path: Path) -> None:
    """A pass of three properties in one variant is not the model's pass; the report says what is missing."""
    (model,) = report.models

    assert "base: prompt_tokens" in model.not_judged
    assert "as_served: labels" in model.not_judged
    assert "base: labels" not in model.not_judged
    text = render_markdown(report, "en")
    assert "pass (partial)" in text
    named = [one for one in under(text, "partial") if one.startswith("- ")]
    assert [one.partition(":")[0] for one in named] == ["- base", "- as_served"]
    assert {name.strip() for name in named[1].partition(":")[2].split(",")} == set(CHECKS)
    left = 2 * len(CHECKS) - 3
    assert f"  partial       {left} checks not selected" in [text for text, _ in summary_lines(report, tmp_path)]


def test_a_second_reference_is_counted_beside(scene: Scene, report: Report) -> None:
    """By its own choices at the judged positions; a row that is not finite chooses nothing."""
    second = scene.folder / "second_reference"
    shutil.copytree(scene.folder / "reference", second)

    def other(rows: Rows) -> Rows:
        rows[3, 1 + int(rows[3].argmax()) % 19] = rows[3].max() + 1
        rows[5] = np.nan
        return rows

    scene.edit_logits("second_reference", 1, other)
    evidence = dataclasses.replace(scene.evidence(), second_reference=load_trace(second))
    (base,) = report.models[0].variants

    assert [row.second_matches for row in prompt_rows(evidence, evidence.comparison)] == [200, 198, 200]
    assert [row.second_matches for row in base.prompts] == [None, None, None]


def test_a_second_reference_of_other_tokens_is_refused(scene: Scene) -> None:
    """No number is made of two texts."""
    shutil.copytree(scene.folder / "reference", scene.folder / "second_reference")
    scene.edit_answer("second_reference", 2, token_ids=[5] * 200)
    evidence = dataclasses.replace(scene.evidence(), second_reference=load_trace(scene.folder / "second_reference"))

    with pytest.raises(TraceError, match="second_reference: scored other tokens than the candidate's"):
        prompt_rows(evidence, evidence.comparison)


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


def test_a_folder_named_latest_is_left_alone(report: Report, tmp_path: Path) -> None:
    """As a copy of reports may have it; the report is written all the same, and nothing else is left."""
    reports = tmp_path / "reports"
    (reports / "latest").mkdir(parents=True)
    write_report(report, reports / "one")

    assert (reports / "one" / "report.json").is_file()
    assert sorted(path.name for path in reports.iterdir()) == ["latest", "one"]
