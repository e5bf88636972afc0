"""`details.md`: every section with all that is folded away, in both languages, and nothing English in the Chinese."""

import re

import pytest

from npu_conformance.baselines.published import load_published
from npu_conformance.report.model import Report
from npu_conformance.report.renderers.html import model_page
from npu_conformance.report.renderers.markdown import render_markdown
from npu_conformance.report.sections import sections
from npu_conformance.report.sections.blocks import Items, Table
from npu_conformance.report.words import LANGUAGES, Language
from tests.unit.helpers.finished_reports import failing_report
from tests.unit.helpers.report_runs import Runs, exchanged
from tests.unit.helpers.shown_sections import english_in, flat
from tests.unit.helpers.suite_runs import ROOT

LOG = {
    "lines": 90,
    "findings": [{"name": "weights skipped", "line": "Parameter fc.weight not found in params_dict", "times": 7}],
}


@pytest.fixture
def report(runs: Runs) -> Report:
    """Base that passes; variants that fail, have no effect, are not confirmed, were skipped and broke."""
    runs.variant("graph", change=exchanged, observed={"graph": 1}, log=LOG)
    runs.variant("async_scheduling", effective={"dtype": "bfloat16", "async_scheduling": False}, asked={})
    runs.variant("deterministic")
    skipped = "tp4 needs 4 devices, 1 of platform cpu is here"
    errors = {"tp4": ("skipped", skipped), "tp2": ("error", "not run: the engine did not start")}
    for variant, (verdict, message) in errors.items():
        told = {"check": "labels", "variant": variant, "metric": "labels", "verdict": verdict, "message": message}
        runs.checks.append(runs.checks[0].model_validate(told))
    made = runs.report()
    made.models[0].published = load_published(ROOT / "baselines", "Qwen3.5-4B-Condenser")
    made.models[0].ruled_out = failing_report().models[0].ruled_out
    return made


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_row_of_every_section_stands_in_details(report: Report, language: Language) -> None:
    """Those that a page folds away too, in whole tables; and on the page as well."""
    text = render_markdown(report, language)
    page, model = model_page(report, report.models[0], language), report.models[0]
    found = [block for one in sections(report, model, language) for block in flat(one.blocks)]
    tables = [block for block in found if isinstance(block, Table)]
    items = [item for block in found if isinstance(block, Items) for item in block.items]

    assert len(tables) > 25
    summary = 1 + len(report.models)
    assert len(re.findall(r"^\| (?!---)", text, re.MULTILINE)) == summary + sum(1 + len(one.rows) for one in tables)
    assert page.count("<tr>") == sum(1 + len(one.rows) for one in tables)
    assert (
        len(re.findall(r"^- ", text, re.MULTILINE)) == page.count("<li>") - page.count('<li><a href="#') == len(items)
    )


def test_what_is_said_in_english_has_its_chinese(report: Report) -> None:
    """Line for line; but for what is quoted: prompts, answers, engines' logs, options, reasons of configs, prints."""
    english, chinese = (render_markdown(report, language).splitlines() for language in LANGUAGES)
    model = report.models[0]
    published = model.published
    assert published is not None
    quoted = [text for one in model.variants for row in one.prompts for text in (row.text, row.answer)]
    quoted += [row.text for one in model.variants for row in one.labels]
    quoted += [own.reason for one in model.variants for own in one.own_limits.values()]
    quoted += [*published.hardware.values(), *published.versions.values(), *published.settings.values()]
    quoted += [row.line for one in model.variants for row in one.log]
    quoted += [*published.examples, *(claim.printed for claim in published.claims), published.source.title]
    quoted += [text for one in published.prompts for text in (one.text, *one.answers, one.expected or "")]
    left = [line for line in _prose(chinese) if english_in(_without(line, quoted))]

    assert len([line for line in _prose(english) if english_in(line)]) > 100
    assert left == []
    assert [len(line.split(" | ")) for line in chinese] == [len(line.split(" | ")) for line in english]


def _prose(lines: list[str]) -> list[str]:
    """All but what stands in fences."""
    found, code = [], False
    for line in lines:
        code ^= line.startswith("```")
        found += [] if code else [line]
    return found


def _without(line: str, quoted: list[str]) -> str:
    """A line of Markdown without what it quotes."""
    plain = re.sub(r"\\(.)", r"\1", line).replace("&lt;", "<").replace("&gt;", ">").replace("&#64;", "@")
    for text in sorted(quoted, key=len, reverse=True):
        plain = plain.replace(" ".join(text.split()), "…") if len(text) > 3 else plain
    return plain
