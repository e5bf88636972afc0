"""Pages of two runs: what got worse is seen at once, both values of each figure, in both languages and from disk."""

import re
from pathlib import Path

import pytest

from npu_conformance.__main__ import main
from npu_conformance.measure.results import Result
from npu_conformance.report.compared import why_of
from npu_conformance.report.compared_figures import change
from npu_conformance.report.words import LANGUAGES, phrase, word
from tests.unit.commands.test_compare_runs import report, rounded
from tests.unit.helpers.browsers import browser, overflow, page, unfold
from tests.unit.helpers.report_runs import Runs
from tests.unit.helpers.saved_runs import reseal
from tests.unit.helpers.small_traces import logits


def of(verdict: str, observed: float, interval: tuple[float, float] | None = None, relation: str = "<=") -> Result:
    """One figure."""
    return Result.model_validate(
        {"check": "c", "variant": "base", "metric": "m", "verdict": verdict, "observed": observed, "relation": relation}
        | {"interval": interval}
    )


@pytest.mark.parametrize(
    ("before", "after", "word_of_it"),
    [
        (of("pass", 1), of("fail", 2), "change_worse"),
        (of("fail", 2), of("inconclusive", 1), "change_better"),
        (of("pass", 1, (0.9, 1.1)), of("pass", 2, (1.9, 2.1)), "change_worse"),
        (of("pass", 1, (0.9, 1.1)), of("pass", 1.1, (1.0, 1.2)), "change_within"),
        (of("pass", 2, (1.9, 2.1), ">="), of("pass", 1, (0.9, 1.1), ">="), "change_worse"),
        (of("pass", 1, (0.9, 1.1), ">="), of("pass", 2, (1.9, 2.1), ">="), "change_better"),
        (of("shown", 1), of("shown", 2), "change_further"),
        (of("shown", 1, None, ">="), of("shown", 2, None, ">="), "change_nearer"),
        (of("pass", 1), of("pass", 1), "change_same"),
        (of("shown", 1), of("shown", float("nan")), "change_worse"),
    ],
)
def test_a_figure_got_worse_only_where_its_sample_says_so(before: Result, after: Result, word_of_it: str) -> None:
    """By its verdict, or by intervals that do not touch; else a direction."""
    assert change(before, after) == word_of_it


def two_runs(folder: Path, size: float, runs: Runs) -> tuple[Path, Path]:
    """Two folders of traces, the later with errors of another size; each with a report."""
    exact = logits(30, 10)
    sides = report(folder / "a", exact, rounded(exact, seed=1)), report(folder / "b", exact, rounded(exact, size, 2))
    for place, side in enumerate(sides):
        made = runs.report()
        checks = [
            one.model_copy(update={"observed": 0.5, "verdict": "fail"})
            if place and one.metric == "relative_l2_mean"
            else one
            for one in made.models[0].checks
        ]
        made.models[0].checks[:] = checks
        (side / "report.json").write_text(made.model_dump_json(), encoding="utf-8")
        reseal(side)
    return sides


def test_two_runs_are_shown_side_by_side(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page says what grew and where, both values of a figure and which got worse; exit status as ever."""
    before, after = two_runs(tmp_path, 0.01, runs)

    assert main(["compare", str(before), str(after)]) == 1
    folder = tmp_path / "compare-a-b"
    assert f"pages: {folder / 'index.html'}" in capsys.readouterr().out
    assert {one.name for one in folder.iterdir()} == {"index.html", "index.zh.html", "Model.html", "Model.zh.html"}
    shown = (folder / "Model.html").read_text(encoding="utf-8")
    assert "Worse than before in base: the error in decode grew by more than 1.1 times" in shown
    row = next(one for one in shown.split("<tr>") if "50 %" in one)
    assert "✗ worse" in row
    assert "→ fail" in row
    chinese = (folder / "Model.zh.html").read_text(encoding="utf-8")
    assert "decode 误差增长超过 1.1 倍" in chinese
    assert "the error" not in chinese.split("</script>")[0]
    figures = [re.findall(r'<td class="number">([^<]*)<', text) for text in (shown, chinese)]
    assert figures[0] == figures[1]


def test_a_comparison_without_reports_has_no_figures(runs: Runs, tmp_path: Path) -> None:
    """It says so; what traces tell is there, in one language where that is asked for."""
    before, after = two_runs(tmp_path, 0.005, runs)
    (before / "report.json").unlink()

    assert main(["compare", str(before), str(after), "-o", str(tmp_path / "pages"), "--report-lang", "zh"]) == 0
    assert {one.name for one in (tmp_path / "pages").iterdir()} == {"index.zh.html", "Model.zh.html"}
    shown = (tmp_path / "pages" / "Model.zh.html").read_text(encoding="utf-8")
    assert word("zh", "no_report") in shown
    assert "未变差" in shown
    assert "hreflang" not in shown


def test_pages_of_two_runs_fit_their_window(runs: Runs, tmp_path: Path) -> None:
    """On a telephone, in dark; the index leads to a model and back."""
    before, after = two_runs(tmp_path, 0.01, runs)
    main(["compare", str(before), str(after)])
    with browser() as chromium, page(chromium, tmp_path / "compare-a-b" / "index.html", 390, "dark") as shown:
        assert overflow(shown) <= 0
        shown.get_by_role("link", name="Model").click()
        unfold(shown)
        assert overflow(shown) <= 0
        assert "worse" in shown.title()
        shown.get_by_role("link", name="中文").click()
        assert "变差" in shown.title()


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        (
            "the error in decode grew by more than 1.1 times (p 3e-18, adjusted 6e-18), flips are more frequent (p 0, "
            "adjusted 0)",
            "decode 误差增长超过 1.1 倍（p 3e-18，校正后 6e-18）；argmax 翻转更频繁（p 0，校正后 0）",
        ),
        (
            "5 prompts cannot tell whether flips are more frequent: about 12 prompts would",
            "5 条提示词不足以判断 argmax 翻转更频繁：约需 12 条",
        ),
        ("2 prompts in both: at least 3 are needed", "两次运行共有 2 条提示词，至少需要 3 条"),
    ],
)
def test_why_is_said_in_chinese(english: str, chinese: str) -> None:
    """And English stays as it is."""
    assert why_of("zh", english) == chinese
    assert why_of("en", english) == english
    assert [phrase(language, "prefill was captured now only") for language in LANGUAGES][1].startswith("仅")
