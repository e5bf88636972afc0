"""Figures and gates of each variant: bullets against limit and floor, and tables with n, interval and chance."""

import math

from npu_conformance.checks import CALIBRATED
from npu_conformance.measure.results import Result
from npu_conformance.report.sections.blocks import Block, Bullet, Bullets, Cell, Fold, Paragraph, Section, Table
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.values import besides, chance, in_order, interval, remark, value

_DRAWN = {"logits_closeness", "hidden_states", *(gate.id for gate in CALIBRATED)}
"""Checks whose results are bullets."""


def section(view: View) -> Section | None:
    """None where nothing was judged."""
    if not view.model.variants:
        return None
    blocks: list[Block] = []
    drawn = dict.fromkeys(one.variant for one in ([view.base] if view.base else []) + view.shown)
    for variant in dict.fromkeys([*drawn, *(one.variant for one in view.model.variants)]):
        found = _drawn(view, variant) if variant in drawn else _tables(view, variant)
        first = view.base is not None and variant == view.base.variant
        blocks += found if first else [Fold(variant, found)] if found else []
    if own := _own_limits(view):
        blocks.append(own)
    return Section("gates", view.t("gates_section"), tuple(blocks)) if blocks else None


def figure_table(view: View, variant: str) -> Table:
    """The published figures of a variant, each with limit, floor, n and interval, and what else there is to say."""
    columns = ("metric", "observed", "floor", "limit", "n", "interval", "verdict", "where")
    rows = tuple(_figure(view, one) for one in in_order(view.checks(variant)))
    return Table(view.t("metrics"), tuple(map(view.t, columns)), rows)


def figure_blocks(view: View, variant: str) -> tuple[Block, ...]:
    """The figures, and why some that have a limit were not judged; nothing where there are none."""
    table = figure_table(view, variant)
    open_limit = any(one.verdict == "shown" and one.limit is not None for one in in_order(view.checks(variant)))
    notes = (Paragraph(view.t("note_shown_limit")),) if open_limit else ()
    return (table, *notes) if table.rows else ()


def gate_table(view: View, variant: str) -> Table:
    """The calibrated gates of a variant."""
    columns = ("gate", "path", "observed", "limit", "n", "interval", "p", "p_adjusted", "verdict", "where")
    gates = [one for one in view.checks(variant) if one.p_value is not None]
    rows = tuple(
        (
            Cell(view.title(one)), Cell(one.path), number(value(one, "observed")), number(value(one, "limit")),
            number(str(one.n or "—")), number(interval(one)), number(chance(one.p_value)),
            number(chance(one.p_adjusted)), view.judged(one.verdict), Cell(remark(one, view.language)),
        )
        for one in gates
    )  # fmt: skip
    return Table(view.t("gates"), tuple(map(view.t, columns)), rows)


def _drawn(view: View, variant: str) -> tuple[Block, ...]:
    """Bullets, and all tables folded away."""
    bullets = tuple(bullet for one in view.checks(variant) if (bullet := _bullet(one)) is not None)
    alt = view.t("bullets_alt").format(count=len(bullets), variant=variant)
    chart = (Bullets(f"gates-{variant}", alt, bullets, view.t("note_bullets")),) if bullets else ()
    tables = _tables(view, variant)
    notes = (Paragraph(view.t("note_interval")), Paragraph(view.t("note_gates")))
    return (*chart, Fold(view.t("all_figures"), (*tables, *notes))) if tables else chart


def _tables(view: View, variant: str) -> tuple[Block, ...]:
    found = (*figure_blocks(view, variant), gate_table(view, variant), _others(view, variant))
    return tuple(one for one in found if not isinstance(one, Table) or one.rows)


def _own_limits(view: View) -> Table | None:
    """Those of the model's config that stand in place of the dtype's, with their reasons."""
    limits = {name: own for one in view.model.variants for name, own in one.own_limits.items()}
    rows = tuple((Cell(view.metric(name)), number(f"{own.value:g}"), Cell(own.reason)) for name, own in limits.items())
    return Table(view.t("own_limits"), tuple(map(view.t, ("metric", "limit", "reason"))), rows) if rows else None


def _figure(view: View, one: Result) -> tuple[Cell, ...]:
    said = Cell("—") if one.verdict == "shown" else view.judged(one.verdict)
    texts = (value(one, "observed"), value(one, "floor"), value(one, "limit"), str(one.n or "—"), interval(one))
    return (Cell(view.title(one)), *map(number, texts), said, Cell(remark(one, view.language)))


def _others(view: View, variant: str) -> Table:
    columns = ("check", "metric", "observed", "limit", "verdict", "where")
    rows = tuple(
        (
            Cell(one.check), Cell(view.title(one)), number(value(one, "observed")), number(value(one, "limit")),
            Cell("—") if one.verdict == "shown" else view.judged(one.verdict), Cell(remark(one, view.language)),
        )
        for one in besides(view.checks(variant))
    )  # fmt: skip
    return Table(view.t("checks"), tuple(map(view.t, columns)), rows)


def _bullet(one: Result) -> Bullet | None:
    """An error with a limit above 0, as a share of it; what must be at least something is no error."""
    judged = one.verdict in ("pass", "fail", "inconclusive") and one.check in _DRAWN
    if not judged or one.path == "prefill" or one.relation != "<=" or not one.limit or one.observed is None:
        return None
    if not all(map(math.isfinite, (one.observed, one.limit))):
        return None
    bounds = None if one.interval is None else (one.interval[0] / one.limit, one.interval[1] / one.limit)
    floor = None if one.floor is None or not math.isfinite(one.floor) else one.floor / one.limit
    return Bullet(one.metric, one.observed / one.limit, bounds, floor, one.verdict)
