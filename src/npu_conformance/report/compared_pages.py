"""Pages of two runs held against each other: one a model, and an index."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from npu_conformance.report.compared import (
    TwoRuns,
    compared_sections,
    compared_sentence,
    left_out,
    mark_of,
    said_of,
    verdict_of,
)
from npu_conformance.report.renderers.html import page_name, rendered, write_pages
from npu_conformance.report.words import LANGUAGES, Language


def write_compared(runs: TwoRuns, folder: Path, languages: tuple[Language, ...] = LANGUAGES) -> list[Path]:
    """Write `index.html` and `<Model>.html`, in Chinese `index.zh.html` and `<Model>.zh.html`."""

    def pages(language: Language) -> Iterator[tuple[str, str]]:
        yield "index", _index(runs, language, languages)
        for model in runs.models:
            yield model, _page(runs, model, language, languages)

    return write_pages(pages, folder, languages)


def _index(runs: TwoRuns, language: Language, languages: tuple[Language, ...]) -> str:
    rows = []
    for model in runs.models:
        pairs = runs.of(model)
        verdict = verdict_of(pairs)
        link = quote(page_name(model, language))
        rows.append((link, model, mark_of(verdict), said_of(language, verdict), compared_sentence(pairs, language)))
    notes = left_out(runs, language)
    return rendered("compared_index.html.j2", language, "index", languages, runs=runs, rows=rows, notes=notes)


def _page(runs: TwoRuns, model: str, language: Language, languages: tuple[Language, ...]) -> str:
    verdict = verdict_of(runs.of(model))
    return rendered(
        "compared.html.j2",
        language,
        model,
        languages,
        runs=runs,
        model=model,
        mark=mark_of(verdict),
        judged=said_of(language, verdict),
        sections=compared_sections(runs, model, language),
    )
