"""Every table of a Report as Markdown, in English or Chinese, from one template."""

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from npu_conformance.config.variants import JUDGED
from npu_conformance.errors import printable
from npu_conformance.machine.storage import write_text
from npu_conformance.measure.three_way import IMPLICATES
from npu_conformance.report.engine_options import option_rows, sign_counts
from npu_conformance.report.findings import LogRow
from npu_conformance.report.messages import number
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.published import measured_text, published_prompts, published_rows, quantity_text
from npu_conformance.report.published_weights import measured_weights
from npu_conformance.report.renderers.picture import drawn
from npu_conformance.report.rows import has_others, tally, variant_rows
from npu_conformance.report.values import (
    besides,
    bounds,
    chance,
    flips,
    in_order,
    interval,
    percent,
    remark,
    value,
    without,
)
from npu_conformance.report.words import LANGUAGES, Language, file_name, metric, phrase, place, title, verdict, word
from npu_conformance.report.words.labels import WORDS
from npu_conformance.report.words.log import LOG

_MARKS = {
    "pass": "✅",
    "fail": "❌",
    "error": "⛔",
    "inconclusive": "❓",
    "shown": "—",
    "skipped": "⏭",
    "not_applicable": "—",
    "no_effect": "—",
}
# Mismatches that are listed of a variant; report.json has them all.
_MOST = 20


def render(report: Report, folder: Path, languages: tuple[Language, ...] = LANGUAGES) -> list[Path]:
    """Write `details.md` and, in Chinese, `details.zh.md`."""
    files = {folder / file_name("details", "md", language): language for language in languages}
    for path, language in files.items():
        write_text(path, render_markdown(report, language))
    return list(files)


def render_markdown(report: Report, language: Language) -> str:
    """The whole report as Markdown."""
    return printable(templates().get_template("report.md.j2").render(report=report, **names(language)))


@cache
def templates() -> Environment:
    """Compiled once, for all languages."""
    found = Environment(
        loader=PackageLoader("npu_conformance.report"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 (Markdown; every text from outside passes the filter `cell`)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {
        "cell": cell,
        "value": value,
        "number": number,
        "percent": percent,
        "flips": flips,
        "pairs": pairs,
    }
    return found


def names(language: Language) -> dict[str, Any]:
    """What templates ask for besides the report, by the names they have for it."""
    functions = (
        interval,
        bounds,
        chance,
        published_rows,
        published_prompts,
        quantity_text,
        measured_weights,
        measured_text,
        remark,
        besides,
        without,
        variant_rows,
        has_others,
        tally,
        option_rows,
        sign_counts,
        drawn,
    )
    return {function.__name__: function for function in functions} | {
        "t": partial(word, language),
        "title": partial(title, language),
        "figure": partial(_figure, language),
        "phrase": partial(phrase, language),
        "logged": partial(_logged, language),
        "at": partial(place, language),
        "said": partial(verdict, language),
        "sign": partial(_sign, language),
        "mark": _MARKS.__getitem__,
        "labels": _labels,
        "in_order": in_order,
        "layer_norms": _layer_norms,
        "judged": JUDGED,
        "most": _MOST,
        "combinations": IMPLICATES,
    }


def cell(text: object, length: int = 60) -> str:
    """Text from outside as one table cell: no line break, no markup of its own, not longer than `length`."""
    flat = " ".join(str(text).split())
    flat = flat if len(flat) <= length else flat[: length - 1] + "…"
    for character in "\\`*_[]<>|#":
        flat = flat.replace(
            character, f"\\{character}" if character not in "<>" else f"&{'lg'['<>'.index(character) == 1]}t;"
        )
    return flat or " "


def pairs(entries: Mapping[str, object]) -> str:
    """Names with what each has, as one table cell."""
    return ", ".join(f"{cell(name)} {cell(entry)}" for name, entry in entries.items()) or "—"


def _sign(language: Language, sign: str) -> str:
    return word(language, f"sign_{sign}") if f"sign_{sign}" in WORDS else sign


def _figure(language: Language, name: str) -> str:
    """A figure of a published report: a metric, or one of its own."""
    return word(language, name) if name in WORDS else metric(language, name)


def _logged(language: Language, row: LogRow) -> tuple[str, str]:
    """What a line of an engine's log means, and what to do about it."""
    return LOG.get(row.name, (row.meaning, row.remedy)) if language == "zh" else (row.meaning, row.remedy)


def _labels(labels: dict[str, str] | None) -> str:
    return "—" if labels is None else " · ".join(labels.values())


def _layer_norms(model: ModelReport) -> dict[int, float]:
    """The candidate's norms by transformers' numbers of hidden states: 0 the embedding, the last after the norm."""
    layers = next((variant.layers for variant in model.variants if variant.layers), [])
    # What the last layer leaves is not among them: there transformers has the final norm's output.
    return dict(enumerate(row.candidate_norm for row in (*layers[:-2], *layers[-1:])))
