"""Model cards in Markdown: `<Model>.md` to be pasted, and all of a run in `report.md`; and the same in Chinese."""

from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from npu_conformance.errors import printable
from npu_conformance.machine.storage import write_text
from npu_conformance.report.cards.card import card
from npu_conformance.report.cards.front_matter import front_matter
from npu_conformance.report.cards.markdown import cell, table
from npu_conformance.report.model import Report
from npu_conformance.report.sections.summary import summary_table
from npu_conformance.report.sections.view import View
from npu_conformance.report.words import LANGUAGES, Language, file_name, word


def render(report: Report, folder: Path, languages: tuple[Language, ...] = LANGUAGES) -> list[Path]:
    """Write a card a model, and `report.md` with all of them."""
    files = {}
    for language in languages:
        files[folder / file_name("report", "md", language)] = cards(report, language)
        for model in report.models:
            files[folder / file_name(model.name, "md", language)] = "\n".join(
                [*front_matter(View(report, model, language)), *card(report, model, language)]
            )
    for path, text in files.items():
        write_text(path, printable(text))
    return list(files)


def cards(report: Report, language: Language) -> str:
    """A table of all models of a run, each with a link to its card, and the short card of each; of one, its card."""
    if len(report.models) == 1:
        return "\n".join(card(report, report.models[0], language))
    whole = summary_table(report, language)
    # Model, verdict and conclusion; the rest is in the short cards.
    short = replace(whole, columns=whole.columns[:3], rows=tuple(row[:3] for row in whole.rows))
    words = (word(language, "title"), word(language, "cards_text"))
    links = [f"- [{cell(model.name)}]({quote(file_name(model.name, 'md', language))})" for model in report.models]
    head = [f"# {words[0]}", "", *table(short, len(short.rows)), "", words[1], "", *links, ""]
    return "\n".join([*head, *(line for model in report.models for line in card(report, model, language, short=True))])
