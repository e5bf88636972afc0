"""Pages of HTML, in a real browser: widths, both colour schemes, hover and keyboard, links from disk, hostile text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.report.details import VariantDetails
from npu_conformance.report.model import Report
from npu_conformance.report.renderers.html import render
from tests.unit.helpers.browsers import AXE, browser, overflow, page, unfold
from tests.unit.helpers.finished_reports import failing_report
from tests.unit.helpers.report_runs import Runs, exchanged, made_up_runs
from tests.unit.helpers.scenes import clean_scene

SIDES = ("candidate_words", "candidate_logits", "reference_words", "reference_logits")
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


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of such a report."""
    folder = tmp_path_factory.mktemp("scene")
    made = made_up_runs(clean_scene(folder), folder)
    made.variant("graph", change=exchanged)
    render(made.report(), folder)
    return folder


@pytest.mark.parametrize("name", ["Model.html", "Model.zh.html", "index.html", "index.zh.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(chromium: Any, pages: Path, name: str, scheme: str, width: int) -> None:
    """With all details open; and axe-core, where it is installed, finds nothing."""
    with page(chromium, pages / name, width, scheme) as shown:
        unfold(shown)

        assert overflow(shown) <= 0
        assert shown.title()
        assert shown.evaluate("document.documentElement.lang") == ("zh-CN" if ".zh." in name else "en")
        if AXE.is_file() and width > 1000 and ".zh." not in name:  # it takes seconds a page
            shown.evaluate(AXE.read_text(encoding="utf-8"))
            found = shown.evaluate("axe.run()")["violations"]
            assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_a_token_shows_both_sides(chromium: Any, report: Report, tmp_path: Path) -> None:
    """By pointing at it and by the keyboard: five words a side with logits, the margin, and whether it is a tie."""
    render(report, tmp_path)
    rows = report.models[0].variants[0].token_rows
    assert rows is not None
    with page(chromium, tmp_path / "Model.html") as shown:
        shown.locator(".level").first.hover()  # of the legend: there is nothing to show
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


def test_a_token_that_is_no_tie_is_seen_without_its_colour(chromium: Any, pages: Path) -> None:
    """It stands among the first answers of its variant, underlined twice, and says so."""
    with page(chromium, pages / "Model.html") as shown:
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


def test_a_page_can_be_read_without_scripts(chromium: Any, pages: Path) -> None:
    """As plain text, in colours."""
    context = chromium.new_context(java_script_enabled=False)
    shown = context.new_page()
    shown.goto((pages / "Model.html").as_uri())

    assert shown.locator("[data-variant=base] .token").count() == 600
    assert not shown.locator("#panel").is_visible()
    context.close()


def test_a_long_run_fits_a_page_that_opens_at_once(chromium: Any, report: Report, tmp_path: Path) -> None:
    """58 prompts of 48 tokens in 10 variants, two of them by token: under 5 MB, and there in 2 s."""
    model = report.models[0]
    base, graph = (_longer(one, 58, 48) for one in model.variants)
    others = [base.model_copy(update={"variant": f"v{number}", "token_rows": None}) for number in range(8)]
    model.variants = [base, graph, *others]
    render(report, tmp_path)

    assert 500_000 < (tmp_path / "Model.html").stat().st_size < 5_000_000
    with page(chromium, tmp_path / "Model.html") as shown:
        took = shown.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart")
        assert took < 2000


def test_a_run_of_the_usual_size_has_small_pages(report: Report, tmp_path: Path) -> None:
    """Five models, 16 prompts of 64 tokens, two variants of each by token: under 3 MB a page, in both languages."""
    base, graph = (_longer(one, 16, 64) for one in report.models[0].variants)
    model = report.models[0].model_copy(update={"variants": [base, graph]})
    five = [model.model_copy(update={"name": f"Model{number}"}) for number in range(5)]
    written = render(report.model_copy(update={"models": five}), tmp_path)

    assert len(written) == 12
    sizes = [path.stat().st_size for path in written if not path.name.startswith("index")]
    assert min(sizes) > 100_000
    assert max(sizes) < 3_000_000


def _longer(one: VariantDetails, prompts: int, tokens: int) -> VariantDetails:
    """A variant with more prompts, all of one length, whose rows are its own again and again."""
    count, rows = prompts * tokens, one.token_rows
    assert rows is not None

    def again(values: list[Any], times: int = 1) -> list[Any]:
        return (values * (1 + count * times // len(values)))[: count * times]

    sides = {name: again(getattr(rows, name), rows.words) for name in SIDES}
    flat = {"tokens": again(rows.tokens), "kl": again(rows.kl), "marks": "".join(again(list(rows.marks)))}
    row = one.prompts[0].model_copy(update={"tokens": tokens, "matches": tokens, "first_divergence": None})
    updated = {
        "positions": count,
        "prompts": [row] * prompts,
        "relative_l2": again(one.relative_l2),
        "floor_l2": again(one.floor_l2),
        "log_probs": again(one.log_probs),
        "tokens": again(one.tokens),
        "token_rows": rows.model_copy(update=sides | flat),
    }
    return one.model_copy(update=updated)
