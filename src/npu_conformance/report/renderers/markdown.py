"""Every section of a Report as Markdown, with all that a page folds away: `details.md`, in English and Chinese."""

from pathlib import Path
from urllib.parse import quote

from npu_conformance.errors import printable
from npu_conformance.machine.storage import write_text
from npu_conformance.report.cards.markdown import cell, lines, table
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.renderers.picture import drawn
from npu_conformance.report.sections import sections
from npu_conformance.report.sections.blocks import Block, Fold, Table
from npu_conformance.report.sections.summary import summary_table
from npu_conformance.report.words import LANGUAGES, Language, file_name, word

LONGEST = 2000
"""Characters of a cell: a prompt or an answer may be a book."""


def render(report: Report, folder: Path, languages: tuple[Language, ...] = LANGUAGES) -> list[Path]:
    """Write `details.md` and, in Chinese, `details.zh.md`."""
    files = {folder / file_name("details", "md", language): language for language in languages}
    for path, language in files.items():
        write_text(path, render_markdown(report, language))
    return list(files)


def render_markdown(report: Report, language: Language) -> str:
    """A table of all models, then the sections of each."""
    summary = summary_table(report, language)
    found = [f"# {word(language, 'title')}", "", f"## {summary.caption}", "", *_whole(summary)]
    for model in report.models:
        found += _model(report, model, language)
    return printable("\n".join(found))


def _model(report: Report, model: ModelReport, language: Language) -> list[str]:
    """Every heading says whether this is a twin: no table of it can be quoted as the model's."""
    kind = word(language, model.subject)
    found = [f"# {cell(model.name)} · {kind}", ""]
    found += [f"![{cell(model.name)}]({quote(model.name)}.png)", ""] if drawn(model) else []
    for one in sections(report, model, language):
        if shown := _opened(one.blocks, one.title, kind, 3):
            found += [f"## {cell(one.title)} · {kind}", "", *shown]
    return found


def _opened(blocks: tuple[Block, ...], above: str, kind: str, level: int) -> list[str]:
    """The lines of blocks with all that is folded away; a table has its caption above it, unless that stands there."""
    found: list[str] = []
    for block in blocks:
        if isinstance(block, Fold):
            title, shown = block.summary, _opened(block.blocks, block.summary, kind, level + 1)
        elif isinstance(block, Table):
            title, shown = block.caption, _whole(block)
        else:
            title, shown = above, lines((block,), 0, "")
        heading = [f"{'#' * level} {cell(title)} · {kind}", ""] if title != above else []
        found += [*heading, *shown] if shown else []
    return found


def _whole(one: Table) -> list[str]:
    return [*table(one, len(one.rows), LONGEST), ""]
