"""A model's card: the sections that somebody pastes into a model's repository, none of them long."""

from dataclasses import replace

from npu_conformance.report.cards import excerpts
from npu_conformance.report.cards.excerpts import MOST
from npu_conformance.report.cards.markdown import cell, lines
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.sections import section
from npu_conformance.report.sections.blocks import Block, Items, Section, Table
from npu_conformance.report.sections.known_limits import known_limits
from npu_conformance.report.sections.labels import label_table
from npu_conformance.report.sections.performance import bench_blocks, seen_blocks
from npu_conformance.report.sections.published import claims_table
from npu_conformance.report.sections.reproduce import commands
from npu_conformance.report.sections.verdict import failures, sentence
from npu_conformance.report.sections.view import View
from npu_conformance.report.values import value
from npu_conformance.report.words import Language, file_name

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
    """That a twin is one, figures in a line, then the conclusion and what it does not cover."""
    figures = [found for name in _HEADLINE if (found := view.find(name)) is not None]
    shown = " · ".join(f"{cell(view.title(one))} **{cell(value(one, 'observed'))}**" for one in figures)
    n = view.base.positions if view.base else 0
    headline = [f"> {shown} (n = {n})", ""] if shown else []
    sign = {"pass": "✅", "fail": "❌", "inconclusive": "❓", "error": "⛔"}.get(view.model.verdict, "⏭")
    conclusion = f"{sign} **{cell(sentence(view), 2000)}**"
    twin = [view.t("twin_note"), ""] if view.model.subject == "twin" else []
    return [*twin, *headline, conclusion, "", *((note, "") if (note := _partial(view)) else ())]


def _partial(view: View) -> str | None:
    """Of a run that judged a part: a pass of it is not the model's."""
    missing = len(view.model.not_judged)
    return view.t("partial_note").format(count=missing) if missing else None


def _parts(view: View) -> list[tuple[str, tuple[Block, ...], int]]:
    """Title, blocks, and how many rows of their tables are shown."""
    base = view.base
    found = [_titled(section("features", view)), _of(excerpts.parameters(view))]
    if base is not None:
        found += [
            _of(failures(view), "failures"),
            _of(excerpts.environment(view, base)),
            _all("metrics", excerpts.figures(view, base.variant), view),
            _all("gates", excerpts.gates(view, base.variant), view),
            _titled(section("error_source", view)),
            _of(excerpts.prompts(view, base), "prompts"),
            _failed_first(excerpts.answers(view, base), "answers"),
            _failed_first(label_table(view), "labels"),
            _all("greedy_determinism", excerpts.again(view), view),
            _all("published_layers", excerpts.layers(view), view),
            _all("conversion", excerpts.conversion(view), view),
            _of(claims_table(view), "claims"),
            _all("ruled_out", excerpts.ruled_out(view), view),
            _all("bench", bench_blocks(view), view),
            _all("performance", seen_blocks(view), view, "performance"),
        ]
    found += [_titled(section("serve", view)), _limits(view)]
    found += [_all("reproduce_section", (*commands(view), excerpts.provenance(view)), view)]
    found += [_titled(section("citation", view))]
    return [one for one in found if one is not None]


def _limits(view: View) -> tuple[str, tuple[Block, ...], int] | None:
    """Without that a twin is one and a run a part, which stand at the top."""
    items = tuple(one for one in known_limits(view) if one not in (view.t("twin_note"), _partial(view)))
    return _all("known_limits", (Items(items),), view)


def _all(
    title: str, blocks: tuple[Block, ...], view: View, most: str = "others"
) -> tuple[str, tuple[Block, ...], int] | None:
    return (view.t(title), blocks, MOST[most]) if blocks else None


def _short(view: View) -> list[tuple[str, tuple[Block, ...], int]]:
    """What decides at a glance."""
    base = view.base
    found = [_titled(section("features", view))]
    found += [] if base is None else [_all("metrics", excerpts.figures(view, base.variant), view)]
    return [one for one in found if one is not None]


def _titled(one: Section | None) -> tuple[str, tuple[Block, ...], int] | None:
    return None if one is None else (one.title, one.blocks, MOST["others"])


def _of(one: Table | None, most: str = "others") -> tuple[str, tuple[Block, ...], int] | None:
    return None if one is None or not one.rows else (one.caption, (one,), MOST[most])


def _failed_first(one: Table | None, most: str) -> tuple[str, tuple[Block, ...], int] | None:
    """The same, but of what failed all rows."""
    if one is None or not one.rows:
        return None
    failed = [row for row in one.rows if any(part.mark == "fail" for part in row)]
    rows = (*failed, *(row for row in one.rows if row not in failed))
    return one.caption, (replace(one, rows=rows),), max(MOST[most], len(failed))
