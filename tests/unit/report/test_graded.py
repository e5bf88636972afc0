"""The rows that a contest grades: their exact names, filled from the run, or said not to be measured."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import logsumexp

from npu_conformance.__main__ import main
from npu_conformance.report.cards.graded import HEADING, NOT_MEASURED, graded, graded_rows
from npu_conformance.report.cards.steps import step_table
from npu_conformance.report.sections.view import View
from npu_conformance.report.write import write_report
from tests.unit.helpers.finished_reports import green_report
from tests.unit.helpers.report_runs import Runs, exchanged

NAMES = [
    "参考端", "适配端", "真实权重加载", "真实权重路径", "max_abs_diff", "mean_abs_diff", "cosine_similarity",
    "top1_match", "top5_match", "match_within_1_percent", "NPU latency_ms", "精度误差", "误差值", "判定依据", "说明",
    "原始权重模型地址", "精度对比日志",
]  # fmt: skip


def test_rows_have_their_names_in_order(runs: Runs) -> None:
    """And figures of the run with their n; a twin is not the model, nor is a CPU an NPU."""
    report = runs.report()
    view = View(report, report.models[0], "zh")
    rows = graded_rows(view)

    assert list(rows) == NAMES
    cosine = view.find("cosine_mean")
    assert cosine is not None
    assert rows["cosine_similarity"] == f"{cosine.observed:.6g}（n = 600）"
    assert rows["match_within_1_percent"] == "true"
    assert rows["真实权重加载"].startswith("false")
    assert rows["说明"].startswith(f"判定：{view.said(report.models[0].verdict)}；")
    assert "twin" in rows["说明"]
    assert rows["真实权重路径"] == NOT_MEASURED
    assert "非 NPU" in rows["适配端"]


def test_an_error_beyond_the_bar_is_no_match(runs: Runs) -> None:
    """1 %, of the mean relative error."""
    report = runs.report()
    model = report.models[0]
    model.checks = [
        one.model_copy(update={"observed": 0.011}) if one.metric == "relative_l2_mean" else one for one in model.checks
    ]

    assert graded_rows(View(report, model, "zh"))["match_within_1_percent"] == "false"


def test_labels_are_scored_on_both_sides(runs: Runs) -> None:
    """As often as expected; a candidate that loses a label is told from its reference."""
    report = runs.report()
    labels = report.models[0].variants[0].labels
    before = [line for line in graded(View(report, report.models[0], "zh")) if "通过 |" in line]
    labels[0].candidate = None
    after = [line for line in graded(View(report, report.models[0], "zh")) if "不通过 |" in line]

    assert before
    assert not any("不通过" in line for line in before)
    assert len(after) == len(labels[0].expected)


def test_what_never_ran_is_not_measured() -> None:
    """No figure is made up."""
    report = green_report()
    rows = graded_rows(View(report, report.models[-1], "zh"))

    assert {rows[name] for name in ("max_abs_diff", "top1_match", "match_within_1_percent", "精度误差")} == {
        NOT_MEASURED
    }


def test_the_command_writes_it_where_asked_for(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the other files, and not without being asked."""
    write_report(runs.report(), tmp_path / "run")
    assert not (tmp_path / "run" / "Model.graded.md").exists()

    assert main(["report", str(tmp_path / "run"), "--graded"]) == 0
    assert "Model.graded.md" in capsys.readouterr().out
    text = (tmp_path / "run" / "Model.graded.md").read_text(encoding="utf-8")
    assert text.startswith(f"## {HEADING}")
    assert "| 对比项 | 数值 |" in text
    assert "| 原始权重模型地址 | https://www.modelscope.cn/models/" in text


def test_steps_have_their_log_probabilities(runs: Runs) -> None:
    """In the exact columns: of base, of its second run where that was the same to the bit, and of a fresh start."""
    runs.variant("fresh_engine", change=exchanged)
    report = runs.report()
    view = View(report, report.models[0], "zh")
    logits = runs.base.logits(0).astype(np.float64)
    expected = logits.max(axis=1) - logsumexp(logits, axis=1)
    text = "\n".join(graded(view))
    table, told = step_table(view)
    assert table is not None

    assert "| 提示词 | 步骤 | 令牌 | 运行1对数概率 | 运行2对数概率 | 运行3对数概率 | 匹配 |" in text
    assert len(table.rows) == 3 * 8
    for step, row in enumerate(table.rows[:8]):
        assert float(row[3].text) == pytest.approx(expected[step], abs=2e-6)
        assert row[4] == row[3]
        assert row[-1].mark == ("fail" if step == 0 else "pass")  # there the fresh start has another token
    assert "运行3：fresh_engine" in told

    report.models[0].variants[0].log_probs = []
    assert step_table(view) == (None, "")
    assert f"逐步对数概率：{NOT_MEASURED}" in graded(view)
