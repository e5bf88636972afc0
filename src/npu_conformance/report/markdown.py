"""A Report as Markdown, in English or Chinese, from one template."""

from functools import partial
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from npu_conformance.limits import FIGURES
from npu_conformance.messages import number
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.published import measured_text, published_prompts, published_rows, quantity_text
from npu_conformance.report.published_weights import measured_weights
from npu_conformance.report.words import WORDS
from npu_conformance.results import Check

Language = Literal["en", "zh"]
_MARKS = {
    "pass": "✅",
    "fail": "❌",
    "error": "⛔",
    "inconclusive": "❓",
    "skipped": "⏭",
    "not_applicable": "—",
}


def render_markdown(report: Report, language: Language) -> str:
    """The whole report as Markdown."""
    environment = Environment(
        loader=PackageLoader("npu_conformance.report"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 (Markdown; every text from outside passes the filter `cell`)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": cell, "value": value, "number": number, "percent": _percent}
    return environment.get_template("report.md.j2").render(
        report=report,
        t=partial(_translate, language),
        mark=_MARKS.__getitem__,
        title=partial(_title, language),
        labels=_labels,
        in_order=_in_order,
        published_rows=published_rows,
        published_prompts=published_prompts,
        quantity_text=quantity_text,
        measured_weights=measured_weights,
        measured_text=measured_text,
        layer_norms=_layer_norms,
    )


def cell(text: object, length: int = 60) -> str:
    """Text from outside as one table cell: no line break, no markup of its own, not longer than `length`."""
    flat = " ".join(str(text).split())
    flat = flat if len(flat) <= length else flat[: length - 1] + "…"
    for character in "\\`*_[]<>|#":
        flat = flat.replace(
            character, f"\\{character}" if character not in "<>" else f"&{'lg'['<>'.index(character) == 1]}t;"
        )
    return flat or " "


def value(check: Check, of: Literal["observed", "limit"]) -> str:
    """A check's value or limit in its figure's style; `—` for none."""
    found = check.observed if of == "observed" else check.limit
    if found is None:
        return "—"
    figure = FIGURES.get(check.metric)
    prefix = ("≥ " if check.relation == ">=" else "≤ ") if of == "limit" else ""
    if figure is None:
        return f"{prefix}{found:g}"
    if figure.style == "percent":
        return f"{prefix}{_percent(found)}"
    return f"{prefix}{found:.3g}" if figure.style == "scientific" else f"{prefix}{found:.6f}".rstrip("0").rstrip(".")


def _percent(rate: float) -> str:
    return f"{100 * rate:.4g} %"


def _translate(language: Language, word: str) -> str:
    return WORDS[word][language == "zh"]


def _title(language: Language, metric: str) -> str:
    if metric in FIGURES:
        return FIGURES[metric].title_zh if language == "zh" else FIGURES[metric].title
    return _translate(language, metric) if metric in WORDS else metric


def _labels(labels: dict[str, str] | None) -> str:
    return "—" if labels is None else " · ".join(labels.values())


def _in_order(checks: list[Check]) -> list[Check]:
    """Those of them that are figures, in the order in which reports publish them."""
    by_name = {check.metric: check for check in checks if check.metric in FIGURES and check.observed is not None}
    return [by_name[name] for name in FIGURES if name in by_name]


def _layer_norms(model: ModelReport) -> dict[int, float]:
    """The candidate's norms by transformers' numbers of hidden states: 0 the embedding, the last after the norm."""
    layers = next((variant.layers for variant in model.variants if variant.layers), [])
    # What the last layer leaves is not among them: there transformers has the final norm's output.
    return dict(enumerate(row.candidate_norm for row in (*layers[:-2], *layers[-1:])))
