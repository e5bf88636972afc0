"""The figures of a model in two runs, side by side, and which of them got worse."""

import math

from npu_conformance.measure.results import Result, worst
from npu_conformance.report.sections.blocks import Block, Cell, Mark, Table
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.values import in_order, interval, value

_MARKS: dict[str, Mark] = {"change_worse": "fail", "change_better": "pass"}


def figure_blocks(before: View, after: View, variant: str) -> list[Block]:
    """Figures, then gates, of a variant; nothing where the runs have none in common."""
    sides = [{_key(one): one for one in view.checks(variant) if one.observed is not None} for view in (before, after)]
    figures = [_key(one) for one in in_order(after.checks(variant))]
    gates = [key for key, one in sides[1].items() if one.p_value is not None]
    keys = [key for key in dict.fromkeys((*figures, *gates)) if key in sides[0] and key in sides[1]]
    columns = ("metric", "path", "before", "now", "limit", "n", "change", "verdict")
    rows = tuple(_row(after, sides[0][key], sides[1][key]) for key in keys)
    return [Table(f"{variant}: {after.t('compared_figures')}", tuple(map(after.t, columns)), rows)] if rows else []


def change(before: Result, after: Result) -> str:
    """Key of the word for what became of a figure."""
    if before.verdict != after.verdict and {before.verdict, after.verdict} <= {"pass", "fail", "inconclusive"}:
        return "change_worse" if worst((before.verdict, after.verdict)) == after.verdict else "change_better"
    then, now = before.observed or 0.0, after.observed or 0.0
    if math.isnan(now) or math.isnan(then):
        return "change_worse" if math.isnan(now) and not math.isnan(then) else "change_same"
    if then == now:
        return "change_same"
    down = (now < then) == (after.relation == ">=")
    if before.interval is None or after.interval is None:
        return "change_further" if down else "change_nearer"
    apart = before.interval[1] < after.interval[0] or after.interval[1] < before.interval[0]
    return ("change_worse" if down else "change_better") if apart else "change_within"


def _row(view: View, before: Result, after: Result) -> tuple[Cell, ...]:
    key = change(before, after)
    samples = str(after.n or "—") if before.n == after.n else f"{before.n or '—'} → {after.n or '—'}"
    said = view.said(after.verdict) if after.verdict != "shown" else "—"
    if before.verdict != after.verdict:
        said = f"{view.said(before.verdict)} → {said}"
    return (
        Cell(view.title(after)), Cell(after.path), number(_shown(before)), number(_shown(after)),
        number(value(after, "limit")), number(samples), Cell(view.t(key), _MARKS.get(key, "")),
        Cell(said, "" if after.verdict == "shown" else after.verdict),
    )  # fmt: skip


def _shown(one: Result) -> str:
    return value(one, "observed") + ("" if one.interval is None else f" ({interval(one)})")


def _key(one: Result) -> tuple[str, str, str]:
    return one.metric, one.path, one.at
