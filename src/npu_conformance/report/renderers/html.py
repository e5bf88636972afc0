"""A Report as pages of HTML: one a model and an index, in English and Chinese; each opens from disk by itself."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from npu_conformance.errors import printable
from npu_conformance.machine.storage import write_text
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.pages.charts import bullets_svg, chart_svg, colour_of, placeholders
from npu_conformance.report.pages.tokens import LEVELS, token_json, tokens
from npu_conformance.report.sections import sections
from npu_conformance.report.sections.blocks import Bullets, Chart
from npu_conformance.report.sections.summary import summary_table
from npu_conformance.report.words import LANGUAGES, Language, file_name, metric, verdict, word
from npu_conformance.report.words.labels import WORDS

_SIGNS = {
    "pass": "✓", "fail": "✗", "error": "!", "inconclusive": "?", "shown": "", "skipped": "–", "not_applicable": "–",
    "no_effect": "–",
}  # fmt: skip


def render(report: Report, folder: Path, languages: tuple[Language, ...] = LANGUAGES) -> list[Path]:
    """Write a page a model, `<Model>.html`, and `index.html`; and the same in Chinese, `<Model>.zh.html`."""

    def pages(language: Language) -> Iterator[tuple[str, str]]:
        yield "index", index_page(report, language, languages)
        for model in report.models:
            yield model.name, model_page(report, model, language, languages)

    return write_pages(pages, folder, languages)


def write_pages(
    pages: Callable[[Language], Iterable[tuple[str, str]]], folder: Path, languages: tuple[Language, ...]
) -> list[Path]:
    """Write pages in each language; returns their files.

    Args:
        pages: of a language: what `page_name` is to name, and the text.
        folder: they are written to.
        languages: in their order.
    """
    written = []
    for language in languages:
        # All are made before the first is written, so that none stands alone where one cannot be made.
        for name, text in list(pages(language)):
            written.append(folder / page_name(name, language))
            write_text(written[-1], text)
    return written


def page_name(name: str, language: Language) -> str:
    """The file of a model's page, or of the index."""
    return file_name(name, "html", language)


def model_page(
    report: Report, model: ModelReport, language: Language, languages: tuple[Language, ...] = LANGUAGES
) -> str:
    """The page of one model."""
    found = sections(report, model, language)
    return rendered("model.html.j2", language, model.name, languages, model=model, sections=found)


def index_page(report: Report, language: Language, languages: tuple[Language, ...] = LANGUAGES) -> str:
    """The page that leads to all models of a run."""
    return rendered(
        "index.html.j2",
        language,
        "index",
        languages,
        report=report,
        summary=summary_table(report, language),
        page=lambda name: quote(page_name(name, language)),
    )


def rendered(
    template: str, language: Language, name: str, languages: tuple[Language, ...] = LANGUAGES, **entries: object
) -> str:
    """A page.

    Args:
        template: of the page.
        language: of its words.
        name: of its file, for the link to the other language.
        languages: of all that are written; with one there is no link.
        entries: what the template asks for besides.
    """
    other = LANGUAGES[1 - LANGUAGES.index(language)]
    words: dict[str, object] = {
        "language": language,
        "t": partial(word, language),
        "said": partial(verdict, language),
        "sign": _SIGNS.__getitem__,
        "chart": partial(_drawn, language),
        "legend": partial(_legend, language),
        "metric_words": partial(metric, language),
        "tokens": tokens,
        "token_json": lambda answers: Markup(token_json(answers)),  # noqa: S704 (escaped there)
        "levels": LEVELS,
        "other_page": quote(page_name(name, other)) if other in languages else "",
        "other_language": other,
        "index": page_name("index", language),
    }
    return printable(_templates().get_template(template).render(**words, **entries))


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("npu_conformance.report"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["marked"] = _marked
    found.tests["instance"] = lambda block, name: type(block).__name__ == name
    return found


def _marked(text: str) -> Markup:
    """A sentence of the suite, with its code and emphasis; everything else is only text."""
    shown = re.sub(r"`([^`<>]+)`", r"<code>\1</code>", str(Markup.escape(text)))
    return Markup(re.sub(r"\*([^*<>]+)\*", r"<em>\1</em>", shown))  # noqa: S704 (escaped above)


def _drawn(language: Language, block: Chart | Bullets) -> Markup:
    """A chart with its words; the words are the suite's own, and names of the x axis were escaped when it was drawn."""
    text = chart_svg(block) if isinstance(block, Chart) else bullets_svg(block)
    for key in placeholders(text):
        shown = word(language, key) if key in WORDS else metric(language, key)
        text = text.replace(f"@@{key}@@", Markup.escape(shown))
    return Markup(text)  # noqa: S704


def _legend(language: Language, chart: Chart) -> list[tuple[str, str, str]]:
    """Name, colour and style of each series."""
    return [
        (word(language, line.name) if line.name in WORDS else line.name, colour_of(place, line), line.style)
        for place, line in enumerate(chart.lines)
    ]
