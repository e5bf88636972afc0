"""The sections of a report: a module each with `section(view)`, which gives plain data, or None where it has none.

Renderers show them and know nothing of a run. A new section is a module here and its name in `ORDER`.
"""

from importlib import import_module

from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.sections.blocks import Section
from npu_conformance.report.sections.view import View
from npu_conformance.report.words import Language

ORDER = (
    "verdict", "gates", "agreement", "answers", "errors", "error_source", "paths", "layers", "features", "variants",
    "determinism", "labels", "weights", "published", "ruled_out", "environment", "performance", "serve", "known_limits",
    "reproduce", "citation",
)  # fmt: skip
"""Modules, in the order in which a page has them."""


def section(name: str, view: View) -> Section | None:
    """One section of a model."""
    found: Section | None = import_module(f"{__name__}.{name}").section(view)
    return found


def sections(report: Report, model: ModelReport, language: Language) -> list[Section]:
    """All that a model has."""
    view = View(report, model, language)
    return [found for name in ORDER if (found := section(name, view)) is not None]
