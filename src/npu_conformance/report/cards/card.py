"""A model's card: the sections that somebody pastes into a model's repository, none of them long."""

from npu_conformance.report.cards.markdown import cell, lines
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.sections import section
from npu_conformance.report.sections.blocks import Block, Section, Table
from npu_conformance.report.sections.determinism import batch_table, repeated_table
from npu_conformance.report.sections.environment import environment_table
from npu_conformance.report.sections.errors import prompt_table
from npu_conformance.report.sections.gates import figure_blocks, gate_table
from npu_conformance.report.sections.labels import label_table
from npu_conformance.report.sections.layers import layer_table
from npu_conformance.report.sections.performance import bench_blocks, seen_blocks
from npu_conformance.report.sections.published import claims_table
from npu_conformance.report.sections.ruled_out import ruled_out_table
from npu_conformance.report.sections.verdict import sentence
from npu_conformance.report.sections.view import View
from npu_conformance.report.sections.weights import conversion_table, parameter_table
from npu_conformance.report.values import value
from npu_conformance.report.words import Language, file_name

MOST = 10
"""Rows of a table of prompts."""
_MOST_LAYERS = 48
_MOST_FAULTS = 8
_HEADLINE = ("token_agreement", "cosine_mean", "relative_l2_mean", "error_over_floor")


def card(report: Report, model: ModelReport, language: Language, *, short: bool = False) -> list[str]:
    """The lines of a model's card.

    Args:
        report: of the run.
        model: of the report.
        language: of the words.
        short: whether it stands among others: a level lower, without what its own file has.
    """
    level = 2 if short else 1
    view = View(report, model, language)
    found = [f"{'#' * level} {cell(view.t('card_title').format(name=view.name))}", "", *_head(view)]
    for title, blocks, most in _short(view) if short else _parts(view):
        more = view.t("rows_more").format(count="{count}", file=f"`{file_name('details', 'md', language)}`")
        shown = lines(blocks, most, more)
        found += [f"{'#' * (level + 1)} {title}", "", *shown] if shown else []
    while found[-1] == "":
        found.pop()
    return [*found, ""]


def _head(view: View) -> list[str]:
    """That a twin is one, figures in a line, then the conclusion."""
    figures = [found for name in _HEADLINE if (found := view.find(name)) is not None]
    shown = " · ".join(f"{cell(view.title(one))} **{cell(value(one, 'observed'))}**" for one in figures)
    n = view.base.positions if view.base else 0
    headline = [f"> {shown} (n = {n})", ""] if shown else []
    sign = {"pass": "✅", "fail": "❌", "inconclusive": "❓", "error": "⛔"}.get(view.model.verdict, "⏭")
    conclusion = f"{sign} **{cell(sentence(view), 2000)}**"
    twin = [view.t("twin_note"), ""] if view.model.subject == "twin" else []
    return [*twin, *headline, conclusion, ""]


def _parts(view: View) -> list[tuple[str, tuple[Block, ...], int]]:
    """Title, blocks, and how many rows of their tables are shown."""
    base = view.base
    found = [_titled(section("features", view), 40), _of(parameter_table(view), 40)]
    if base is not None:
        found += [
            _of(environment_table(view), 20),
            _figures(view, base.variant),
            _of(gate_table(view, base.variant), 40),
            _titled(section("error_source", view), 10),
            _of(prompt_table(view, base), MOST),
            _of(label_table(view), MOST),
            _of(repeated_table(view), 4),
            _of(batch_table(view), 4),
            _of(layer_table(view), _MOST_LAYERS),
            _of(conversion_table(view), 20),
            _of(claims_table(view), 10),
            _of(ruled_out_table(view), _MOST_FAULTS),
            _blocks(view.t("bench"), bench_blocks(view), 50),
            _blocks(view.t("performance"), seen_blocks(view), 3),
        ]
    for name in ("serve", "known_limits", "reproduce", "citation"):
        found.append(_titled(section(name, view), 20))
    return [one for one in found if one is not None]


def _short(view: View) -> list[tuple[str, tuple[Block, ...], int]]:
    """What decides at a glance."""
    base = view.base
    found = [_titled(section("features", view), 40)]
    found += [] if base is None else [_figures(view, base.variant)]
    return [one for one in found if one is not None]


def _figures(view: View, variant: str) -> tuple[str, tuple[Block, ...], int] | None:
    return _blocks(view.t("metrics"), figure_blocks(view, variant), 40)


def _blocks(title: str, blocks: tuple[Block, ...], most: int) -> tuple[str, tuple[Block, ...], int] | None:
    return (title, blocks, most) if blocks else None


def _titled(one: Section | None, most: int) -> tuple[str, tuple[Block, ...], int] | None:
    return None if one is None else (one.title, one.blocks, most)


def _of(one: Table | None, most: int) -> tuple[str, tuple[Block, ...], int] | None:
    return None if one is None or not one.rows else (one.caption, (one,), most)
