"""Sections: plain data in both languages, the error's sources computed, and words for all that they name."""

import math
from importlib import import_module
from pkgutil import iter_modules

import pytest

from npu_conformance.baselines.published import load_published
from npu_conformance.report import sections as package
from npu_conformance.report.findings import ModuleRow
from npu_conformance.report.pages.charts import bullets_svg, chart_svg, placeholders
from npu_conformance.report.pages.tokens import level, tokens, visible
from npu_conformance.report.ruled_out import RuledOut
from npu_conformance.report.sections import ORDER, section, sections
from npu_conformance.report.sections.blocks import Answers, Block, Bullets, Chart, Paragraph, Table
from npu_conformance.report.sections.error_source import Shares, shares
from npu_conformance.report.sections.gates import figure_blocks
from npu_conformance.report.sections.verdict import sentence
from npu_conformance.report.sections.view import View
from npu_conformance.report.values import in_style
from npu_conformance.report.words import LANGUAGES, Language
from npu_conformance.report.words.faults import FAULTS, fault
from npu_conformance.report.words.labels import WORDS
from npu_conformance.report.words.metrics import METRICS
from npu_conformance.selftest.catalogue import CLEAN, KINDS
from tests.unit.helpers.finished_reports import failing_report, green_report
from tests.unit.helpers.report_runs import Runs
from tests.unit.helpers.shown_sections import flat
from tests.unit.helpers.suite_runs import ROOT


def of(runs: Runs, language: Language) -> list[Block]:
    """All blocks of the made-up run."""
    report = runs.report()
    return [block for one in sections(report, report.models[0], language) for block in flat(one.blocks)]


def numbers(table: Table) -> list[list[str]]:
    """Its cells that are numbers, by row."""
    return [[cell.text for cell in row if cell.number] for row in table.rows]


def test_a_run_has_sections_in_their_order(runs: Runs) -> None:
    """The same in both languages, none of them empty."""
    report = runs.report()
    english, chinese = (sections(report, report.models[0], language) for language in LANGUAGES)

    assert [one.id for one in english] == [one.id for one in chinese]
    assert [one.id for one in english] == [name for name in ORDER if name in {one.id for one in english}]
    assert {"verdict", "gates", "answers", "errors", "error_source", "layers", "reproduce"} <= {
        one.id for one in english
    }
    assert all(one.blocks for one in english)


def test_every_module_with_a_section_has_its_place() -> None:
    """On a page."""
    named = {one.name for one in iter_modules(package.__path__)}
    with_section = {name for name in named if hasattr(import_module(f"{package.__name__}.{name}"), "section")}

    assert with_section == set(ORDER)
    assert len(set(ORDER)) == len(ORDER)


def test_both_languages_have_the_same_figures(runs: Runs) -> None:
    """Table for table, row for row, number for number."""
    english, chinese = (
        [numbers(block) for block in of(runs, language) if isinstance(block, Table)] for language in LANGUAGES
    )

    assert english == chinese
    assert sum(map(len, english)) > 40


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_table_is_rectangular_and_has_rows(runs: Runs, language: Language) -> None:
    """No cell without a column."""
    for block in of(runs, language):
        if isinstance(block, Table):
            assert {len(row) for row in block.rows} <= {len(block.columns)}, block.caption


def test_charts_name_only_words_that_there_are(runs: Runs) -> None:
    """Axes and gates, in both languages; ids differ from chart to chart."""
    charts = [block for block in of(runs, "en") if isinstance(block, Chart | Bullets)]
    drawn = [chart_svg(one) if isinstance(one, Chart) else bullets_svg(one) for one in charts]
    keys = {key for text in drawn for key in placeholders(text)}

    assert len(drawn) >= 4
    assert {"c_error", "c_share"} <= keys
    assert keys <= WORDS.keys() | METRICS.keys()
    assert len({one.name for one in charts}) == len(charts)
    assert not any("#0a0a01" in text or "<metadata" in text for text in drawn)


def test_the_shares_of_the_error_add_up() -> None:
    """Twice the floor's error is three quarters the engine's own, by squares."""
    own = Shares(total=0.02, floor=0.01, quantisation=None)
    quantised = Shares(total=0.01, floor=0.01, quantisation=0.006)

    assert own.own == pytest.approx(0.75)
    assert own.rounding == pytest.approx(0.25)
    assert quantised.own == 0
    assert quantised.quantised == pytest.approx(0.36)
    assert own.own + own.rounding + own.quantised == pytest.approx(1)


def test_no_shares_without_a_floor(runs: Runs) -> None:
    """Nothing is said of rounding that was not measured."""
    report = runs.report()
    view = View(report, report.models[0], "en")

    assert shares(view) is not None
    report.models[0].variants[0].floor_l2 = []
    assert shares(View(report, report.models[0], "en")) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_sentence_says_the_verdict_of_every_model(language: Language) -> None:
    """Of passes, failures by cause, errors, and models that were skipped."""
    for made in (green_report(), failing_report()):
        for model in made.models:
            text = sentence(View(made, model, language))
            assert "{" not in text
            assert len(text) > 10
    failing = failing_report()
    text = sentence(View(failing, failing.models[1], language))
    assert "model.layers.1" in text


def test_every_kind_of_fault_has_words_in_both_languages() -> None:
    """A pass is said in words: a rotary base off by 10 %."""
    assert set(FAULTS) == set(KINDS) - {CLEAN}
    assert fault("en", "rotary_theta", 1.1) == "a rotary base off by 10 %"
    assert all("{" not in fault(language, kind, 1.1) for kind in FAULTS for language in LANGUAGES)


def test_tokens_can_be_read_whatever_they_hold(runs: Runs) -> None:
    """Line breaks, control characters and marks of direction are signs; a long token is cut."""
    (found, *_) = [block for block in of(runs, "en") if isinstance(block, Answers)]
    found.rows.pieces[found.rows.tokens[0]] = "<script>\n"
    (first, *_) = tokens(found, 0, 3)

    assert (first.text, first.breaks) == ("<script>↵", True)
    assert visible("\x00\x1b\u202e") == "␀␛⟨202E⟩"
    assert len(visible("z" * 10_000)) == 60
    assert visible("👩\u200d🚀 שלום 中文") == "👩\u200d🚀 שלום 中文"
    assert [level(one) for one in (0.5, 1.0, 4.9, math.inf, math.nan)] == [0, 1, 4, 5, 5]


def test_layers_are_drawn_as_the_gate_judges_them(runs: Runs) -> None:
    """What all of a kind have is left out of every point, so that the limit means the same for the line."""
    report = runs.report()
    base = report.models[0].variants[0]
    base.modules = [
        ModuleRow(point=f"model.layers.{layer}.mlp", error=0.01, over_floor=over, alike=1.2, along=0.0, beyond=False)
        for layer, over in enumerate((1.2, 1.26))
    ]
    found = section("layers", View(report, report.models[0], "en"))
    assert found is not None
    chart = next(block for block in found.blocks if isinstance(block, Chart) and block.name == "modules")

    assert chart.lines[0].y == (1.0, 1.05)
    assert "model.layers.1.mlp with 1.05" in chart.alt


def test_a_limit_that_nothing_was_judged_by_is_explained(runs: Runs) -> None:
    """In the card's figures, and only where there is one."""
    report = runs.report()
    view = View(report, report.models[0], "en")
    note = Paragraph(view.t("note_shown_limit"))

    assert note not in figure_blocks(view, "base")
    report.models[0].checks = [
        one.model_copy(update={"verdict": "shown"}) if one.metric == "cosine_min" else one
        for one in report.models[0].checks
    ]
    assert note in figure_blocks(view, "base")


def test_every_published_figure_has_words() -> None:
    """Of the reports that are kept with the suite: no key stands in a table."""
    folder = ROOT / "baselines"
    found = [published for path in folder.iterdir() if (published := load_published(folder, path.name))]
    names = {name for one in found for name in (*one.figures, *one.timings)}

    assert len(names) > 50
    assert sorted(name for name in names if name not in WORDS and name not in METRICS) == []


def test_what_is_not_one_is_not_shown_as_one(runs: Runs) -> None:
    """A cosine that six digits cannot tell from 1 is near it, and no more."""
    report = runs.report()
    found = View(report, report.models[0], "en").find("cosine_mean")

    assert found is not None
    assert [in_style(found, number) for number in (1.0, 0.99999999, 0.999998)] == ["1", "≈ 1", "0.999998"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_decided_says_where_in_the_next_row(language: Language) -> None:
    """The worst place stands below the check to look at first, on the first screen."""
    report = failing_report()
    view = View(report, report.models[0], language)
    found = section("verdict", view)
    assert found is not None
    tables = [block for block in found.blocks if isinstance(block, Table)]
    rows = [[cell.text for cell in row] for row in tables[-1].rows]
    place = [name for name, _ in rows].index(view.t("look_first"))

    assert rows[place + 1][0] == view.t("where")
    assert rows[place + 1][1].startswith("model.layers.1.mlp.gate_proj.weight")


def test_faults_are_told_by_check_too(runs: Runs) -> None:
    """Each with the weakest that it caught; base and as served are said once where they caught the same."""
    report = runs.report()
    caught = {"drift": {"rotary_theta": 1.1}, "labels": {"rotary_theta": 1.5, "layer_skipped": 1.0}}
    report.models[0].ruled_out = [
        RuledOut(variant=variant, check=check, faults=faults)
        for variant in ("base", "as_served")
        for check, faults in caught.items()
    ]
    report.models[0].ruled_out.append(RuledOut(variant="graph", check="drift", faults={"rotary_theta": 2.0}))
    found = section("ruled_out", View(report, report.models[0], "en"))
    assert found is not None
    *_, table = flat(found.blocks)
    assert isinstance(table, Table)

    assert [[cell.text for cell in row] for row in table.rows] == [
        ["drift", "a rotary base off by 10 %", "base, as_served"],
        ["labels", "a rotary base off by 50 %; one layer skipped", "base, as_served"],
        ["drift", "a rotary base off by 100 %", "graph"],
    ]
