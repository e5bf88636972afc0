"""Pages of HTML, in a real browser: widths, both colour schemes, hover and keyboard, links from disk, hostile text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.report.model import Report
from npu_conformance.report.renderers.html import render
from tests.unit.helpers.browsers import AXE, browser, overflow, page, unfold
from tests.unit.helpers.finished_reports import failing_report
from tests.unit.helpers.report_runs import Runs, exchanged

HOSTILE = (
    "<script>window.hacked=1</script>\"'><img src=x onerror=window.hacked=2> | `q` \u202eabc\x00 שלום {{ 7*7 }} "
    + "z" * 10_000
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One for all tests."""
    with browser() as started:
        yield started


@pytest.fixture
def report(runs: Runs) -> Report:
    """Base passes, a variant has a token that rounding does not explain."""
    runs.variant("graph", change=exchanged)
    return runs.report()


@pytest.mark.parametrize("name", ["Model.html", "Model.zh.html", "index.html", "index.zh.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(
    chromium: Any, report: Report, tmp_path: Path, name: str, scheme: str, width: int
) -> None:
    """With all details open; and axe-core, where it is installed, finds nothing."""
    render(report, tmp_path)
    with page(chromium, tmp_path / name, width, scheme) as shown:
        unfold(shown)

        assert overflow(shown) <= 0
        assert shown.title()
        assert shown.evaluate("document.documentElement.lang") == ("zh-CN" if ".zh." in name else "en")
        if AXE.is_file():
            shown.evaluate(AXE.read_text(encoding="utf-8"))
            found = shown.evaluate("axe.run()")["violations"]
            assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_a_token_shows_both_sides(chromium: Any, report: Report, tmp_path: Path) -> None:
    """By pointing at it and by the keyboard: five words a side with logits, the margin, and whether it is a tie."""
    render(report, tmp_path)
    rows = report.models[0].variants[0].token_rows
    assert rows is not None
    with page(chromium, tmp_path / "Model.html") as shown:
        panel, first = shown.locator("#panel"), shown.locator("[data-variant=base] .token").first
        assert not panel.is_visible()
        first.hover()
        text = panel.inner_text()
        place = int(first.get_attribute("data-i"))

        assert panel.locator("tr").count() == 2 * rows.words
        assert f"{rows.candidate_logits[place * rows.words]:.4f}" in text
        assert f"{rows.reference_logits[place * rows.words]:.4f}" in text
        assert "margin" in text
        assert "same token" in text

        first.focus()
        shown.keyboard.press("ArrowRight")
        focused = shown.evaluate("document.activeElement.dataset.i")
        assert int(focused) == place + 1
        assert panel.inner_text() != text
        shown.keyboard.press("Escape")
        assert not panel.is_visible()


def test_a_token_that_is_no_tie_is_seen_without_its_colour(chromium: Any, report: Report, tmp_path: Path) -> None:
    """It stands among the first answers of its variant, underlined twice, and says so."""
    render(report, tmp_path)
    with page(chromium, tmp_path / "Model.html") as shown:
        unfold(shown)
        other = shown.locator("[data-variant=graph] .token.other").first
        other.hover()

        assert "double" in other.evaluate("one => getComputedStyle(one).textDecoration")
        assert "another token, not tied" in shown.locator("#panel").inner_text()


def test_links_lead_from_the_index_to_a_model_and_back(chromium: Any, tmp_path: Path) -> None:
    """From disk, and to the other language."""
    render(failing_report(), tmp_path)
    with page(chromium, tmp_path / "index.html") as shown:
        assert shown.locator("tbody a").count() == 5
        shown.get_by_role("link", name="Qwen3-4B-FP8").click()
        assert "fail" in shown.title()
        shown.get_by_role("link", name="中文").click()
        assert "不通过" in shown.title()
        shown.locator("header a").first.click()
        assert shown.url.endswith("index.zh.html")


def test_hostile_text_is_only_text(chromium: Any, report: Report, tmp_path: Path) -> None:
    """In prompts, answers and tokens: no script runs, nothing overflows, the panel shows it as it is."""
    base = report.models[0].variants[0]
    assert base.token_rows is not None
    base.prompts[0].text = base.prompts[0].answer = base.prompts[0].candidate_first = HOSTILE
    for number in base.token_rows.pieces:
        base.token_rows.pieces[number] = HOSTILE if number % 2 else "</script><script>window.hacked=3</script>"
    render(report, tmp_path)
    with page(chromium, tmp_path / "Model.html", 390) as shown:
        unfold(shown)
        shown.locator("[data-variant=base] .token").first.hover()

        assert shown.evaluate("window.hacked") is None
        assert "script>" in shown.locator("#panel").inner_text()
        assert overflow(shown) <= 0
        assert shown.get_by_text("{{ 7*7 }}").count() > 0


def test_a_page_can_be_read_without_scripts(chromium: Any, report: Report, tmp_path: Path) -> None:
    """As plain text, in colours."""
    render(report, tmp_path)
    context = chromium.new_context(java_script_enabled=False)
    shown = context.new_page()
    shown.goto((tmp_path / "Model.html").as_uri())

    assert shown.locator("[data-variant=base] .token").count() == 600
    assert not shown.locator("#panel").is_visible()
    context.close()


def test_a_long_run_fits_a_page_that_opens_at_once(chromium: Any, report: Report, tmp_path: Path) -> None:
    """600 positions of a variant take under 600 kB; a page is there in 2 s."""
    render(report, tmp_path)

    assert (tmp_path / "Model.html").stat().st_size < 600_000
    with page(chromium, tmp_path / "Model.html") as shown:
        took = shown.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart")
        assert took < 2000
